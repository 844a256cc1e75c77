"""Providers, models and roles; a change of any wakes every replica by NOTIFY `aibox_catalogue`."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "router_0001"
down_revision = None
branch_labels = ("router",)
depends_on = ("core_0001",)


def upgrade() -> None:
    create_schema("router")
    op.execute("""
        CREATE TABLE router.provider (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            name text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
            type text NOT NULL CHECK (type IN ('local', 'vllm', 'external')),
            adapter text NOT NULL CHECK (adapter IN ('chat_completions')),
            base_url text NOT NULL,
            api_key text,
            enabled boolean NOT NULL DEFAULT true,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, id),
            UNIQUE (tenant, name)
        )""")
    op.execute("""
        CREATE TABLE router.model (
            tenant uuid NOT NULL,
            provider uuid NOT NULL,
            id text NOT NULL CHECK (id <> ''),
            capabilities text[] NOT NULL DEFAULT '{}',
            context integer CHECK (context > 0),
            input_usd numeric CHECK (input_usd >= 0),
            output_usd numeric CHECK (output_usd >= 0),
            demonstration boolean NOT NULL DEFAULT false,
            position integer NOT NULL DEFAULT 0,
            PRIMARY KEY (tenant, provider, id),
            FOREIGN KEY (tenant, provider) REFERENCES router.provider (tenant, id) ON DELETE CASCADE,
            CHECK ((input_usd IS NULL) = (output_usd IS NULL))
        )""")
    op.execute("""
        CREATE TABLE router.role (
            tenant uuid NOT NULL,
            alias text NOT NULL,
            position integer NOT NULL CHECK (position >= 0),
            provider uuid NOT NULL,
            model text NOT NULL,
            PRIMARY KEY (tenant, alias, position),
            FOREIGN KEY (tenant, provider, model) REFERENCES router.model (tenant, provider, id)
                ON DELETE CASCADE ON UPDATE CASCADE
        )""")
    op.execute("CREATE INDEX ix_role_model ON router.role (tenant, provider, model)")
    op.execute("""
        CREATE FUNCTION router.tell() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('aibox_catalogue', '');
            RETURN NULL;
        END $$""")
    for table in ("provider", "model", "role"):
        confine("router", table)
        grant("router", table, app=("SELECT", "INSERT", "UPDATE", "DELETE"), system=("SELECT",))
        op.execute(
            f"CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON router.{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION router.tell()"
        )


def downgrade() -> None:
    drop_schema("router")
