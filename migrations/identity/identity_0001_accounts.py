"""Tenants, people, passwords, setup links, sessions with their refresh tokens, and API keys."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "identity_0001"
down_revision = None
branch_labels = ("identity",)
depends_on = ("core_0001",)

TABLES = ("tenant", "user", "password", "setup_link", "session", "refresh_token", "api_key")


def upgrade() -> None:
    create_schema("identity")
    op.execute("""
        CREATE TABLE identity.tenant (
            tenant uuid PRIMARY KEY,
            name text NOT NULL,
            status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
            created_at timestamptz NOT NULL DEFAULT now()
        )""")
    op.execute("""
        CREATE TABLE identity.user (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            handle text NOT NULL,
            email text NOT NULL,
            name text NOT NULL,
            pseudonym text NOT NULL,
            roles text[] NOT NULL,
            status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deactivated')),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, id),
            UNIQUE (tenant, handle),
            UNIQUE (tenant, email),
            UNIQUE (tenant, pseudonym)
        )""")
    op.execute("""
        CREATE TABLE identity.password (
            tenant uuid NOT NULL,
            user_id uuid NOT NULL,
            hash text NOT NULL,
            changed_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, user_id),
            FOREIGN KEY (tenant, user_id) REFERENCES identity.user (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE identity.setup_link (
            tenant uuid NOT NULL,
            digest bytea NOT NULL,
            expires_at timestamptz NOT NULL,
            used_at timestamptz,
            PRIMARY KEY (tenant, digest)
        )""")
    op.execute("""
        CREATE TABLE identity.session (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            user_id uuid NOT NULL,
            kind text NOT NULL CHECK (kind IN ('web', 'token')),
            digest bytea,
            agent text NOT NULL DEFAULT '',
            created_at timestamptz NOT NULL DEFAULT now(),
            seen_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz,
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, user_id) REFERENCES identity.user (tenant, id) ON DELETE CASCADE,
            CHECK ((kind = 'web') = (digest IS NOT NULL))
        )""")
    # A cookie names no tenant, so its look-up cannot begin with one; 256 random bits collide nowhere.
    op.execute("CREATE INDEX ix_session_digest ON identity.session USING hash (digest)")
    op.execute("CREATE INDEX ix_session_user ON identity.session (tenant, user_id)")
    op.execute("CREATE INDEX ix_session_id ON identity.session USING hash (id)")
    op.execute("""
        CREATE TABLE identity.refresh_token (
            tenant uuid NOT NULL,
            digest bytea NOT NULL,
            session_id uuid NOT NULL,
            expires_at timestamptz NOT NULL,
            used_at timestamptz,
            PRIMARY KEY (tenant, digest),
            FOREIGN KEY (tenant, session_id) REFERENCES identity.session (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("CREATE INDEX ix_refresh_token_digest ON identity.refresh_token USING hash (digest)")
    op.execute("""
        CREATE TABLE identity.api_key (
            tenant uuid NOT NULL,
            id text NOT NULL,
            user_id uuid NOT NULL,
            name text NOT NULL,
            digest bytea NOT NULL,
            scopes text[] NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            revoked_at timestamptz,
            used_at timestamptz,
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, user_id) REFERENCES identity.user (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("CREATE INDEX ix_api_key_digest ON identity.api_key USING hash (digest)")
    for table in TABLES:
        confine("identity", table)
    for table in ("tenant", "user", "setup_link", "session", "refresh_token", "api_key"):
        grant("identity", table, app=("SELECT", "INSERT", "UPDATE"))
    grant("identity", "password", app=("SELECT", "INSERT", "UPDATE"))
    # Who presents a credential is known only once it was found: the system's role looks it up, and notes its use.
    grant("identity", "tenant", system=("SELECT",))
    grant("identity", "user", system=("SELECT",))
    grant("identity", "session", system=("SELECT", "UPDATE (seen_at)"))
    grant("identity", "refresh_token", system=("SELECT",))
    grant("identity", "api_key", system=("SELECT", "UPDATE (used_at)"))


def downgrade() -> None:
    drop_schema("identity")
