"""People of other issuers, second factors, devices, a key's models, and uses of capability tokens that are spent."""

from alembic import op

from migrations.lanes import confine, grant

revision = "identity_0002"
down_revision = "identity_0001"
branch_labels = None
depends_on = None

TABLES = ("totp", "passkey", "recovery_code", "device", "ended_sign_in", "spent_use")


def upgrade() -> None:
    # A person is (issuer, subject), never an e-mail: two issuers may know the same address. "" is AIBox itself.
    op.execute("ALTER TABLE identity.user ADD COLUMN issuer text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE identity.user ADD COLUMN subject text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE identity.user DROP CONSTRAINT user_tenant_email_key")
    # Access tokens of an issuer that are older than this are over: a sign-out reaches what we did not make ourselves.
    op.execute("ALTER TABLE identity.user ADD COLUMN signed_out_at timestamptz")
    op.execute("CREATE UNIQUE INDEX uq_user_email ON identity.user (tenant, email) WHERE issuer = ''")
    op.execute("CREATE UNIQUE INDEX uq_user_subject ON identity.user (tenant, issuer, subject) WHERE issuer <> ''")
    op.execute("ALTER TABLE identity.session ADD COLUMN auth_time timestamptz NOT NULL DEFAULT now()")
    op.execute("ALTER TABLE identity.session ADD COLUMN amr text[] NOT NULL DEFAULT '{pwd}'")
    op.execute("ALTER TABLE identity.session ADD COLUMN issuer text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE identity.session ADD COLUMN issuer_sid text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE identity.session ADD COLUMN device uuid")
    op.execute("ALTER TABLE identity.session DROP CONSTRAINT session_kind_check")
    op.execute(
        "ALTER TABLE identity.session ADD CONSTRAINT session_kind_check CHECK (kind IN ('web','token','device'))"
    )
    op.execute("ALTER TABLE identity.api_key ADD COLUMN models text[]")
    op.execute("""
        CREATE TABLE identity.totp (
            tenant uuid NOT NULL,
            user_id uuid NOT NULL,
            sealed text NOT NULL,
            confirmed_at timestamptz,
            last_step bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (tenant, user_id),
            FOREIGN KEY (tenant, user_id) REFERENCES identity.user (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE identity.passkey (
            tenant uuid NOT NULL,
            id bytea NOT NULL,
            user_id uuid NOT NULL,
            name text NOT NULL,
            public_key bytea NOT NULL,
            sign_count bigint NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            used_at timestamptz,
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, user_id) REFERENCES identity.user (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE identity.recovery_code (
            tenant uuid NOT NULL,
            user_id uuid NOT NULL,
            digest bytea NOT NULL,
            used_at timestamptz,
            PRIMARY KEY (tenant, user_id, digest),
            FOREIGN KEY (tenant, user_id) REFERENCES identity.user (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE identity.device (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            user_id uuid NOT NULL,
            name text NOT NULL,
            public_key bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            revoked_at timestamptz,
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, user_id) REFERENCES identity.user (tenant, id) ON DELETE CASCADE
        )""")
    # What an issuer said is over (back-channel logout): its tokens with this `sid` are refused until they expire.
    op.execute("""
        CREATE TABLE identity.ended_sign_in (
            tenant uuid NOT NULL,
            issuer text NOT NULL,
            sid text NOT NULL,
            ended_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, issuer, sid)
        )""")
    op.execute("""
        CREATE TABLE identity.spent_use (
            tenant uuid NOT NULL,
            token bytea NOT NULL,
            use int NOT NULL,
            turn uuid NOT NULL,
            spent_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, token, use)
        )""")
    for table in TABLES:
        confine("identity", table)
    for table in ("totp", "passkey", "recovery_code"):
        grant("identity", table, app=("SELECT", "INSERT", "UPDATE", "DELETE"))
    grant("identity", "device", app=("SELECT", "INSERT", "UPDATE"))
    grant("identity", "ended_sign_in", app=("SELECT", "INSERT"), system=("SELECT",))
    grant("identity", "spent_use", app=("SELECT", "INSERT"))


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP TABLE identity.{table}")
    op.execute("ALTER TABLE identity.api_key DROP COLUMN models")
    op.execute("DELETE FROM identity.session WHERE kind = 'device'")
    op.execute("ALTER TABLE identity.session DROP CONSTRAINT session_kind_check")
    op.execute("ALTER TABLE identity.session ADD CONSTRAINT session_kind_check CHECK (kind IN ('web', 'token'))")
    for column in ("device", "issuer_sid", "issuer", "amr", "auth_time"):
        op.execute(f"ALTER TABLE identity.session DROP COLUMN {column}")
    # Whoever came from another issuer cannot be said in the old table, whose e-mail is unique.
    op.execute("DELETE FROM identity.user WHERE issuer <> ''")
    op.execute("DROP INDEX identity.uq_user_subject, identity.uq_user_email")
    op.execute("ALTER TABLE identity.user DROP COLUMN issuer, DROP COLUMN subject, DROP COLUMN signed_out_at")
    op.execute("ALTER TABLE identity.user ADD CONSTRAINT user_tenant_email_key UNIQUE (tenant, email)")
