"""Which tools an answer used, and what waits for its user's approval."""

from alembic import op

from migrations.lanes import confine, grant

revision = "runtime_0004"
down_revision = "runtime_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE runtime.item ADD COLUMN tools jsonb NOT NULL DEFAULT '[]'")
    op.execute("""
        CREATE TABLE runtime.approval (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            owner uuid NOT NULL,
            conversation uuid NOT NULL,
            run uuid NOT NULL,
            call text NOT NULL,
            tool text NOT NULL,
            arguments jsonb NOT NULL,
            risk text NOT NULL,
            status text NOT NULL DEFAULT 'pending'
                CHECK (status IN ('pending', 'approved', 'approved_with_edits', 'denied', 'expired')),
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            decided_at timestamptz,
            decided_in uuid,
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, run) REFERENCES runtime.run (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("CREATE INDEX ix_approval_owner ON runtime.approval (tenant, owner, id)")
    op.execute("CREATE INDEX ix_approval_run ON runtime.approval (tenant, run)")
    confine("runtime", "approval")
    grant("runtime", "approval", app=("SELECT", "INSERT", "UPDATE", "DELETE"))


def downgrade() -> None:
    op.execute("DROP TABLE runtime.approval")
    op.execute("ALTER TABLE runtime.item DROP COLUMN tools")
