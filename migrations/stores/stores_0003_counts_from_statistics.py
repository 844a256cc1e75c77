"""How many texts have a word: PostgreSQL's statistics where they say, counted for the rest.

Counting visits the rows, and a question's common words have many: at 100,000 passages this took longer than the search.
The statistics are the planner's own sample, kept for as many words as `STATISTICS` lets it. And `few` tells beforehand
which filters leave so few points that all of them are compared (one person's memories among everyone's), and
`worded_within` compares them by words without looking at what else has these words.
"""

from alembic import op

from migrations.lanes import APP

revision = "stores_0003"
down_revision = "stores_0002"
branch_labels = None
depends_on = None

FUNCTIONS = ("few", "worded_within")

STATISTICS = 500
"""Ten times as many words, as PostgreSQL has it; they fit in 100 kB, which a count reads."""

_COUNTED = """
    SELECT count(*) FROM (
        SELECT 1 FROM stores.point
        WHERE tenant = nullif(current_setting('app.tenant', true), '')::uuid AND collection = wanted_collection
          AND terms @> ARRAY[wanted_term] LIMIT most
    ) AS first"""


def upgrade() -> None:
    op.execute(f"ALTER TABLE stores.point ALTER COLUMN terms SET STATISTICS {STATISTICS}")
    op.execute(
        """
        CREATE OR REPLACE FUNCTION stores.word_counts(wanted_collection text, wanted int[], most int)
        RETURNS TABLE (term int, texts bigint)
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET jit = off AS $$
        DECLARE
            wanted_term int;
            words int[];
            frequencies real[];
            texts_in_all real;
            place int;
        BEGIN
            SELECT s.most_common_elems::text::int[], s.most_common_elem_freqs INTO words, frequencies
            FROM pg_catalog.pg_stats AS s
            WHERE s.schemaname = 'stores' AND s.tablename = 'point' AND s.attname = 'terms';
            SELECT c.reltuples INTO texts_in_all FROM pg_catalog.pg_class AS c WHERE c.oid = 'stores.point'::regclass;
            FOREACH wanted_term IN ARRAY wanted LOOP
                term := wanted_term;
                place := array_position(words, wanted_term);
                IF place IS NULL THEN
                    texts := ("""
        + _COUNTED
        + """);
                ELSE
                    texts := (frequencies[place] * texts_in_all)::bigint;
                END IF;
                RETURN NEXT;
            END LOOP;
        END $$"""
    )
    op.execute("REVOKE ALL ON FUNCTION stores.word_counts FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION stores.word_counts TO {APP}")

    op.execute("""
        CREATE FUNCTION stores.few(wanted_collection text, wanted jsonb, most int) RETURNS bool
        LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' SET jit = off AS $$
        DECLARE
            present uuid := nullif(current_setting('app.tenant', true), '')::uuid;
            query text := 'SELECT 1 FROM stores.label WHERE tenant = $1 AND collection = $2';
            condition record;
            found bigint;
        BEGIN
            FOR condition IN SELECT key, value FROM jsonb_each(wanted) LOOP
                query := query || format(' AND tokens && %L::bigint[]', ARRAY(
                    SELECT stores.token(present, wanted_collection, condition.key, item)
                    FROM jsonb_array_elements(condition.value) AS item));
            END LOOP;
            EXECUTE format('SELECT count(*) FROM (%s LIMIT %s) AS first', query, most) INTO found
                USING present, wanted_collection;
            RETURN found < most;
        END $$""")
    op.execute("""
        CREATE FUNCTION stores.worded_within(
            wanted_collection text, wanted int[], question public.sparsevec, filter jsonb)
        RETURNS TABLE (id uuid, score float8)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' SET jit = off AS $$
            SELECT passing.id, found.score
            FROM (SELECT stores.matching(wanted_collection, filter) AS id OFFSET 0) AS passing
            CROSS JOIN LATERAL (
                SELECT -(weights OPERATOR(public.<#>) question) AS score FROM stores.point
                WHERE point.tenant = nullif(current_setting('app.tenant', true), '')::uuid
                  AND point.collection = wanted_collection AND point.id = passing.id AND terms && wanted OFFSET 0
            ) AS found
            ORDER BY score DESC
        $$""")
    for name in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION stores.{name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION stores.{name} TO {APP}")


def downgrade() -> None:
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION stores.{name}")
    op.execute("ALTER TABLE stores.point ALTER COLUMN terms SET STATISTICS -1")
    op.execute(
        """
        CREATE OR REPLACE FUNCTION stores.word_counts(wanted_collection text, wanted int[], most int)
        RETURNS TABLE (term int, texts bigint)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' SET jit = off AS $$
            SELECT wanted_term, ("""
        + _COUNTED
        + """) FROM unnest(wanted) AS wanted_term
        $$"""
    )
    op.execute("REVOKE ALL ON FUNCTION stores.word_counts FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION stores.word_counts TO {APP}")
