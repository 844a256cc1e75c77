"""Whether somebody has memory switched off, in one statement: every prompt waits for it."""

from alembic import op

from migrations.lanes import APP

revision = "memory_0003"
down_revision = "memory_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION memory.switched_off(of_tenant uuid, of_user uuid) RETURNS TABLE (is_off bool)
        LANGUAGE plpgsql SET search_path = '' AS $$
        BEGIN
            PERFORM set_config('app.tenant', of_tenant::text, true);
            RETURN QUERY SELECT switch.is_off FROM memory.switch
                WHERE switch.tenant = of_tenant AND switch.user_id = of_user;
        END $$""")
    op.execute("REVOKE ALL ON FUNCTION memory.switched_off FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION memory.switched_off TO {APP}")


def downgrade() -> None:
    op.execute("DROP FUNCTION memory.switched_off")
