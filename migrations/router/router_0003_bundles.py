"""Caps of providers, all kinds of prices, and the bundle: what of the catalogue is applied, whatever is staged.

The rows of `router.provider`, `model` and `role` are the staged catalogue, which administrators change. A tenant's
bundle holds the applied one: those rows as they were when it was applied. A later column that may not be null must be
added to the documents too: what is applied is read back through the tables' own row types.
"""

from alembic import op

from migrations.lanes import confine, grant

revision = "router_0003"
down_revision = "router_0002"
branch_labels = None
depends_on = None

PRICES = ("cached_input_usd", "cache_write_usd", "reasoning_usd")


def upgrade() -> None:
    op.execute("""
        ALTER TABLE router.provider
            ADD COLUMN max_concurrency integer CHECK (max_concurrency > 0),
            ADD COLUMN max_waiting integer NOT NULL DEFAULT 100 CHECK (max_waiting >= 0),
            ADD COLUMN queue_seconds double precision NOT NULL DEFAULT 30 CHECK (queue_seconds BETWEEN 0 AND 3600)""")
    for column in PRICES:
        op.execute(
            f"ALTER TABLE router.model ADD COLUMN {column} numeric"
            f" CHECK ({column} IS NULL OR ({column} >= 0 AND input_usd IS NOT NULL))"
        )
    op.execute("""
        CREATE TABLE router.bundle (
            tenant uuid NOT NULL PRIMARY KEY,
            staged bigint NOT NULL CHECK (staged >= applied),
            applied bigint NOT NULL CHECK (applied >= 0),
            document jsonb NOT NULL,
            staged_at timestamptz NOT NULL DEFAULT now(),
            applied_at timestamptz
        )""")
    confine("router", "bundle")
    grant("router", "bundle", app=("SELECT", "INSERT", "UPDATE"), system=("SELECT",))
    op.execute(
        "CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON router.bundle"
        " FOR EACH STATEMENT EXECUTE FUNCTION router.tell()"
    )
    op.execute("""
        CREATE FUNCTION router.document(of_tenant uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
            SELECT jsonb_build_object(
                'providers', (SELECT coalesce(jsonb_agg(p), '[]') FROM router.provider p WHERE tenant = of_tenant),
                'models', (SELECT coalesce(jsonb_agg(m), '[]') FROM router.model m WHERE tenant = of_tenant),
                'roles', (SELECT coalesce(jsonb_agg(r), '[]') FROM router.role r WHERE tenant = of_tenant))
        $$""")
    op.execute("""
        INSERT INTO router.bundle (tenant, staged, applied, document, applied_at)
        SELECT tenant, 1, 1, router.document(tenant), now()
        FROM (SELECT DISTINCT tenant FROM router.provider) AS tenants""")


def downgrade() -> None:
    op.execute("DROP FUNCTION router.document(uuid)")
    op.execute("DROP TABLE router.bundle")
    for column in PRICES:
        op.execute(f"ALTER TABLE router.model DROP COLUMN {column}")
    op.execute(
        "ALTER TABLE router.provider DROP COLUMN max_concurrency, DROP COLUMN max_waiting, DROP COLUMN queue_seconds"
    )
