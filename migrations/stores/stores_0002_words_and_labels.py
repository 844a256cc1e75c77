"""Keywords by BM25, and a table of its own for what a point is filtered by.

`weights` is the sparse vector of a text's words (aibox.stores.vectors.words), `terms` the same words hashed with tenant
and collection, so that a GIN index finds the points of one tenant among all. `label` holds the payload with its own
index: a changed right rewrites a small row there, and no vector is indexed again.
"""

import sqlalchemy as sa
from alembic import op

from aibox.stores.vectors.words import DIMENSION, document, salted, sparsevec
from migrations.lanes import APP, confine, grant

revision = "stores_0002"
down_revision = "stores_0001"
branch_labels = None
depends_on = None

BATCH = 500
FUNCTIONS = (
    "token(uuid, text, text, jsonb)",
    "tokens(uuid, text, jsonb)",
    "matching(text, jsonb)",
    "worded(text, int[], public.sparsevec)",
    "worded_among(text, int[], public.sparsevec, jsonb)",
    "word_counts(text, int[], int)",
)


def upgrade() -> None:
    op.execute("DROP FUNCTION stores.having_words")
    op.execute("ALTER TABLE stores.point DROP COLUMN words")
    op.execute(f"""
        ALTER TABLE stores.point
            ADD COLUMN terms int[] NOT NULL DEFAULT '{{}}',
            ADD COLUMN weights public.sparsevec NOT NULL DEFAULT '{{}}/{DIMENSION}'""")
    # Ranking reads them of thousands of rows: they stay in the row, and the vector and the text go aside.
    op.execute("ALTER TABLE stores.point ALTER COLUMN terms SET STORAGE main, ALTER COLUMN weights SET STORAGE main")
    _tokens()
    op.execute("""
        CREATE TABLE stores.label (
            tenant uuid NOT NULL,
            collection text NOT NULL,
            id uuid NOT NULL,
            payload jsonb NOT NULL,
            tokens bigint[] NOT NULL GENERATED ALWAYS AS (stores.tokens(tenant, collection, payload)) STORED,
            PRIMARY KEY (tenant, collection, id),
            FOREIGN KEY (tenant, collection, id) REFERENCES stores.point (tenant, collection, id) ON DELETE CASCADE
        )""")
    op.execute(
        "INSERT INTO stores.label (tenant, collection, id, payload) SELECT tenant, collection, id, payload"
        " FROM stores.point"
    )
    op.execute("ALTER TABLE stores.point DROP COLUMN payload")
    _index_words()
    # Without a list of pending entries: a search would have to read it whole.
    op.execute("CREATE INDEX ix_point_terms ON stores.point USING gin (terms) WITH (fastupdate = off)")
    op.execute("CREATE INDEX ix_label_tokens ON stores.label USING gin (tokens) WITH (fastupdate = off)")
    confine("stores", "label")
    grant("stores", "label", app=("SELECT", "INSERT", "UPDATE", "DELETE"))
    _functions()


def _tokens() -> None:
    """A number for each value of a payload, by tenant, collection and field; each value of a list has its own."""
    op.execute("""
        CREATE FUNCTION stores.token(of_tenant uuid, of_collection text, field text, value jsonb) RETURNS bigint
        LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT pg_catalog.hashtextextended(
                of_tenant::text || ' ' || of_collection || ' ' || field || ' ' || value::text, 0)
        $$""")
    op.execute("""
        CREATE FUNCTION stores.tokens(of_tenant uuid, of_collection text, payload jsonb) RETURNS bigint[]
        LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT coalesce(array_agg(DISTINCT stores.token(of_tenant, of_collection, field, item)), '{}')
            FROM jsonb_each(payload) AS member (field, value),
                 jsonb_array_elements(
                    CASE jsonb_typeof(value) WHEN 'array' THEN value ELSE jsonb_build_array(value) END) AS item
        $$""")


def _functions() -> None:
    """What looks into the indexes: under row-level security PostgreSQL uses no GIN index for `&&`, not being leakproof.

    These run as the owner, who is exempt, and give out ids of the present tenant only; what is then read by these ids
    stands under the policy again.
    """
    own = "tenant = nullif(current_setting('app.tenant', true), '')::uuid AND collection = wanted_collection"
    definer = "STABLE SECURITY DEFINER SET search_path = '' SET jit = off"
    op.execute(f"""
        CREATE FUNCTION stores.matching(wanted_collection text, wanted jsonb) RETURNS SETOF uuid
        LANGUAGE plpgsql {definer} AS $$
        DECLARE
            present uuid := nullif(current_setting('app.tenant', true), '')::uuid;
            query text := 'SELECT id FROM stores.label WHERE tenant = $1 AND collection = $2';
            condition record;
        BEGIN
            FOR condition IN SELECT key, value FROM jsonb_each(wanted) LOOP
                query := query || format(' AND tokens && %L::bigint[]', ARRAY(
                    SELECT stores.token(present, wanted_collection, condition.key, item)
                    FROM jsonb_array_elements(condition.value) AS item));
            END LOOP;
            RETURN QUERY EXECUTE query USING present, wanted_collection;
        END $$""")
    op.execute(f"""
        CREATE FUNCTION stores.worded(wanted_collection text, wanted int[], question public.sparsevec)
        RETURNS TABLE (id uuid, score float8) LANGUAGE sql {definer} AS $$
            SELECT id, -(weights OPERATOR(public.<#>) question) AS score FROM stores.point
            WHERE {own} AND terms && wanted ORDER BY score DESC
        $$""")
    op.execute(f"""
        CREATE FUNCTION stores.worded_among(
            wanted_collection text, wanted int[], question public.sparsevec, filter jsonb)
        RETURNS TABLE (id uuid, score float8) LANGUAGE sql {definer} AS $$
            SELECT id, -(weights OPERATOR(public.<#>) question) AS score FROM stores.point
            WHERE {own} AND terms && wanted AND id IN (SELECT stores.matching(wanted_collection, filter))
            ORDER BY score DESC
        $$""")
    # Counting a common word's texts would read them all: beyond `most` the planner's statistics say how many there are.
    op.execute(f"""
        CREATE FUNCTION stores.word_counts(wanted_collection text, wanted int[], most int)
        RETURNS TABLE (term int, texts bigint) LANGUAGE sql {definer} AS $$
            WITH counted AS (
                SELECT term, (
                    SELECT count(*) FROM (
                        SELECT 1 FROM stores.point WHERE {own} AND terms @> ARRAY[term] LIMIT most
                    ) AS first) AS texts
                FROM unnest(wanted) AS term
            ), common AS (
                SELECT elements.term, elements.frequency
                FROM pg_catalog.pg_stats AS s,
                     unnest(s.most_common_elems::text::int[], s.most_common_elem_freqs) AS elements (term, frequency)
                WHERE s.schemaname = 'stores' AND s.tablename = 'point' AND s.attname = 'terms'
                  AND EXISTS (SELECT 1 FROM counted WHERE texts >= most)
            )
            SELECT counted.term, greatest(counted.texts, CASE WHEN counted.texts < most THEN 0 ELSE (
                SELECT (common.frequency * c.reltuples)::bigint FROM common, pg_catalog.pg_class AS c
                WHERE common.term = counted.term AND c.oid = 'stores.point'::regclass) END)
            FROM counted
        $$""")
    for name in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION stores.{name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION stores.{name} TO {APP}")


def _index_words() -> None:
    """Give the points that are there already their words."""
    connection = op.get_bind()
    after = ("00000000-0000-0000-0000-000000000000", "", "00000000-0000-0000-0000-000000000000")
    while True:
        rows = connection.execute(
            sa.text(
                "SELECT tenant, collection, id, body FROM stores.point"
                " WHERE (tenant, collection, id) > (CAST(:tenant AS uuid), :collection, CAST(:id AS uuid))"
                " ORDER BY tenant, collection, id LIMIT :batch"
            ),
            {"tenant": after[0], "collection": after[1], "id": after[2], "batch": BATCH},
        ).fetchall()
        if not rows:
            return
        for row in rows:
            weights = document(row.body)
            connection.execute(
                sa.text(
                    "UPDATE stores.point SET terms = CAST(:terms AS int[]),"
                    " weights = CAST(CAST(:weights AS text) AS public.sparsevec)"
                    " WHERE tenant = :tenant AND collection = :collection AND id = :id"
                ),
                {
                    "terms": salted(row.tenant, row.collection, weights),
                    "weights": sparsevec(weights),
                    "tenant": row.tenant,
                    "collection": row.collection,
                    "id": row.id,
                },
            )
        after = (str(rows[-1].tenant), rows[-1].collection, str(rows[-1].id))


def downgrade() -> None:
    op.execute("ALTER TABLE stores.point ADD COLUMN payload jsonb NOT NULL DEFAULT '{}'")
    op.execute(
        "UPDATE stores.point SET payload = label.payload FROM stores.label AS label"
        " WHERE (point.tenant, point.collection, point.id) = (label.tenant, label.collection, label.id)"
    )
    op.execute("ALTER TABLE stores.point ALTER COLUMN payload DROP DEFAULT")
    op.execute("DROP TABLE stores.label")
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION stores.{name}")
    op.execute("ALTER TABLE stores.point DROP COLUMN terms, DROP COLUMN weights")
    op.execute(
        "ALTER TABLE stores.point ADD COLUMN words tsvector GENERATED ALWAYS AS (to_tsvector('english', body)) STORED"
    )
    op.execute("CREATE INDEX ix_point_words ON stores.point USING gin (words)")
    op.execute("""
        CREATE FUNCTION stores.having_words(wanted_collection text, wanted tsquery) RETURNS SETOF uuid
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
            SELECT id FROM stores.point
            WHERE tenant = nullif(current_setting('app.tenant', true), '')::uuid
              AND collection = wanted_collection AND words @@ wanted
        $$""")
    op.execute("REVOKE ALL ON FUNCTION stores.having_words FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION stores.having_words TO {APP}")
