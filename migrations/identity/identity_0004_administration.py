"""Roles that a tenant makes itself, invitations, and which groups of an issuer have which roles."""

from alembic import op

from migrations.lanes import confine, grant

revision = "identity_0004"
down_revision = "identity_0003"
branch_labels = None
depends_on = None

TABLES = ("role", "invitation", "group_mapping")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE identity.role (
            tenant uuid NOT NULL,
            name text NOT NULL,
            label text NOT NULL,
            about text NOT NULL DEFAULT '',
            rights jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, name)
        )""")
    op.execute("""
        CREATE TABLE identity.invitation (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            email text NOT NULL,
            roles text[] NOT NULL,
            digest bytea NOT NULL,
            invited_by uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            accepted_at timestamptz,
            revoked_at timestamptz,
            PRIMARY KEY (tenant, id)
        )""")
    # A link names no tenant, so its look-up cannot begin with one; 256 random bits collide nowhere.
    op.execute("CREATE INDEX ix_invitation_digest ON identity.invitation USING hash (digest)")
    op.execute("""
        CREATE TABLE identity.group_mapping (
            tenant uuid NOT NULL,
            issuer text NOT NULL,
            claim text NOT NULL,
            groups jsonb NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, issuer)
        )""")
    for table in TABLES:
        confine("identity", table)
    grant("identity", "role", app=("SELECT", "INSERT", "UPDATE", "DELETE"), system=("SELECT",))
    grant("identity", "invitation", app=("SELECT", "INSERT", "UPDATE"), system=("SELECT",))
    grant("identity", "group_mapping", app=("SELECT", "INSERT", "UPDATE", "DELETE"), system=("SELECT",))
    # A passkey that signs in by itself says whose it is only after it was found.
    op.execute("CREATE INDEX ix_passkey_id ON identity.passkey USING hash (id)")
    grant("identity", "passkey", system=("SELECT (tenant, id, user_id)",))


def downgrade() -> None:
    op.execute("REVOKE SELECT (tenant, id, user_id) ON identity.passkey FROM aibox_system")
    op.execute("DROP INDEX identity.ix_passkey_id")
    for table in TABLES:
        op.execute(f"DROP TABLE identity.{table}")
    # A role of one's own means nothing to the old version: who had only such ones keeps the least of the shipped.
    op.execute(
        "UPDATE identity.user SET roles = CASE WHEN roles && ARRAY['owner','admin','member','viewer']"
        " THEN ARRAY(SELECT r FROM unnest(roles) r WHERE r IN ('owner','admin','member','viewer'))"
        " ELSE ARRAY['viewer'] END"
    )
