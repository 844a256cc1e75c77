"""Collections and their points: dense vector, text with its words, payload.

One table serves every dimension. HNSW wants a fixed one, so each size of the usual embedding models has an index of
its own over the cast column; other sizes are searched without an index, which is exact and slower.
"""

from alembic import op

from migrations.lanes import APP, confine, create_schema, drop_schema, grant

revision = "stores_0001"
down_revision = None
branch_labels = ("stores",)
depends_on = None

VECTOR_SIZES = (384, 512, 768, 1024, 1536)
HALF_SIZES = (2560, 3072)  # beyond 2,000 dimensions pgvector indexes half precision only


def upgrade() -> None:
    create_schema("stores")
    op.execute("""
        CREATE TABLE stores.collection (
            name text PRIMARY KEY,
            dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 16000)
        )""")
    op.execute("""
        CREATE TABLE stores.point (
            tenant uuid NOT NULL,
            collection text NOT NULL,
            id uuid NOT NULL,
            dimension integer NOT NULL,
            embedding vector NOT NULL,
            body text NOT NULL,
            words tsvector GENERATED ALWAYS AS (to_tsvector('english', body)) STORED,
            payload jsonb NOT NULL,
            put_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (tenant, collection, id)
        )""")
    for size in VECTOR_SIZES:
        _index(size, "vector")
    for size in HALF_SIZES:
        _index(size, "halfvec")
    op.execute("CREATE INDEX ix_point_words ON stores.point USING gin (words)")
    confine("stores", "point")
    grant("stores", "point", app=("SELECT", "INSERT", "UPDATE", "DELETE"), system=("SELECT", "DELETE"))
    # A collection's size holds for all tenants and tells nothing of them.
    # Under row-level security PostgreSQL uses no GIN index for `@@`, which is not leakproof (EXPLAIN showed it scan the
    # tenant). This function looks into the index as the owner, who is exempt, and gives out ids of the present tenant
    # only; what is then read by these ids stands under the policy again.
    op.execute("""
        CREATE FUNCTION stores.having_words(wanted_collection text, wanted tsquery) RETURNS SETOF uuid
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
            SELECT id FROM stores.point
            WHERE tenant = nullif(current_setting('app.tenant', true), '')::uuid
              AND collection = wanted_collection AND words @@ wanted
        $$""")
    op.execute("REVOKE ALL ON FUNCTION stores.having_words FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION stores.having_words TO {APP}")
    grant("stores", "collection", app=("SELECT", "INSERT"), system=("SELECT", "INSERT", "DELETE"))


def downgrade() -> None:
    drop_schema("stores")


def _index(size: int, kind: str) -> None:
    op.execute(
        f"CREATE INDEX ix_point_{size} ON stores.point"
        f" USING hnsw ((embedding::{kind}({size})) {kind}_cosine_ops) WHERE dimension = {size}"
    )
