"""A search in one statement: the function confines itself to the tenant, chooses its way, and answers.

As six statements around a session it took longer on the way than in the database. The functions stand under the
row-level security of whoever calls them; what they look up in GIN indexes comes from the owner's functions of
stores_0002 and stores_0003.
"""

from alembic import op

from aibox.stores.vectors.words import DIMENSION
from migrations.lanes import APP

revision = "stores_0004"
down_revision = "stores_0003"
branch_labels = None
depends_on = None

FUNCTIONS = ("conditions", "nearest", "having_words", "vectors_of")


def upgrade() -> None:
    _conditions()
    _nearest()
    _having_words()
    _vectors_of()
    for name in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION stores.{name} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION stores.{name} TO {APP}")


def _conditions() -> None:
    """A filter as a condition on `label.payload`. `@>` also finds a scalar among the elements of a list."""
    op.execute("""
        CREATE FUNCTION stores.conditions(wanted jsonb) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
            SELECT coalesce(string_agg(format('label.payload -> %L @> ANY (%L::jsonb[])', key, ARRAY(
                SELECT item FROM jsonb_array_elements(value) AS item)), ' AND '), 'true')
            FROM jsonb_each(wanted)
        $$""")


def _nearest() -> None:
    """The nearest points that pass a filter; those with `is_narrow`, where there are any, stand for the others."""
    op.execute("""
        CREATE FUNCTION stores.nearest(
            of_tenant uuid, wanted_collection text, question real[], wanted jsonb, most int, known bool, few int,
            scanned int)
        RETURNS TABLE (id uuid, score float8, is_narrow bool)
        LANGUAGE plpgsql SET search_path = '' SET jit = off AS $$
        DECLARE
            size int := array_length(question, 1);
            declared int;
            distance text;
            conditions text := stores.conditions(wanted);
            -- Filled in once: a second time, a value of the filter would be read as a place to fill.
            template text := 'SELECT point.id, 1 - %1$s, %4$L::bool FROM stores.point AS point'
                ' CROSS JOIN LATERAL (SELECT 1 FROM stores.label AS label'
                '  WHERE label.tenant = point.tenant AND label.collection = point.collection AND label.id = point.id'
                '  AND %2$s OFFSET 0) AS label'
                ' WHERE point.dimension = %3$s AND point.collection = $2 AND %5$s ORDER BY %1$s %6$s LIMIT $3';
            found bigint;
        BEGIN
            PERFORM set_config('app.tenant', of_tenant::text, true);
            SELECT c.dimension INTO declared FROM stores.collection AS c WHERE c.name = wanted_collection;
            IF declared IS NULL THEN
                RETURN;
            ELSIF declared <> size THEN
                RAISE EXCEPTION 'the collection has another dimension' USING ERRCODE = 'AX001';
            END IF;
            -- Beyond 2,000 dimensions pgvector indexes half precision only.
            distance := format('(point.embedding::public.%1$s(%2$s) OPERATOR(public.<=>) $1::public.%1$s(%2$s))',
                CASE WHEN size <= 2000 THEN 'vector' ELSE 'halfvec' END, size);
            IF NOT coalesce(known, stores.few(wanted_collection, wanted, few)) THEN
                -- Wide is a walk along the index, in order; a sort of all rows would be the planner's other way.
                PERFORM set_config('hnsw.iterative_scan', 'strict_order', true),
                    set_config('hnsw.ef_search', '100', true),
                    set_config('hnsw.max_scan_tuples', scanned::text, true),
                    set_config('enable_sort', 'off', true);
                RETURN QUERY EXECUTE format(template, distance, conditions, size, false, 'true', '')
                    USING question, wanted_collection, most;
                GET DIAGNOSTICS found = ROW_COUNT;
                PERFORM set_config('enable_sort', 'on', true);
                IF found >= most THEN
                    RETURN;
                END IF;
            END IF;
            -- The sum keeps the planner from the index by nearness, which would be the wide way again.
            RETURN QUERY EXECUTE format(
                template, distance, conditions, size, true, 'point.id IN (SELECT stores.matching($2, $4))', '+ 0')
                USING question, wanted_collection, most, wanted;
        END $$""")


def _having_words() -> None:
    """The points that pass a filter and share words with a question, by BM25; `is_narrow` as in `nearest`.

    `words` are the question's, `terms` the same hashed with tenant and collection, `said` how often it says each, and
    `texts` how many the collection has. What is ranked has one of the rarest words, as many as bring `candidates`
    texts; when too little of it passes, all words count: of every text, or where these are too many, of those that
    pass.
    """
    op.execute(f"""
        CREATE FUNCTION stores.having_words(
            of_tenant uuid, wanted_collection text, words int[], terms int[], said real[], texts float8, wanted jsonb,
            most int, known bool, few int, candidates int, counted int)
        RETURNS TABLE (id uuid, score float8, is_narrow bool)
        LANGUAGE plpgsql SET search_path = '' SET jit = off AS $$
        DECLARE
            rarest int[];
            together bigint;
            question public.sparsevec;
            conditions text := stores.conditions(wanted);
            template text := 'SELECT ranked.id, ranked.score, %2$L::bool FROM ('
                '  SELECT worded.id, worded.score FROM stores.%3$I($1, $2, $3%4$s) AS worded'
                '  WHERE worded.score > 0 OFFSET 0) AS ranked'
                ' CROSS JOIN LATERAL (SELECT 1 FROM stores.label AS label'
                '  WHERE label.tenant = $5 AND label.collection = $1 AND label.id = ranked.id'
                '  AND %1$s OFFSET 0) AS label LIMIT $6';
            found bigint;
        BEGIN
            PERFORM set_config('app.tenant', of_tenant::text, true);
            WITH had AS (
                SELECT asked.word, asked.term, asked.times, asked.texts,
                    sum(asked.texts) OVER (ORDER BY asked.texts, asked.word) AS together,
                    row_number() OVER (ORDER BY asked.texts, asked.word) AS place
                FROM ROWS FROM (
                    unnest(words), unnest(said), stores.word_counts(wanted_collection, terms, counted)
                ) AS asked (word, times, term, texts)
            )
            SELECT array_agg(had.term) FILTER (WHERE had.place = 1 OR had.together <= candidates),
                ('{{' || string_agg(had.word || ':' || had.times * ln(1
                    -- BM25's rarity (IDF), never below zero: also of a word that no text had a moment ago.
                    + (greatest(having_words.texts, had.texts) - had.texts + 0.5) / (had.texts + 0.5)
                ), ',' ORDER BY had.word) || '}}/{DIMENSION}')::public.sparsevec,
                max(had.together)
            INTO rarest, question, together FROM had;
            IF coalesce(known, stores.few(wanted_collection, wanted, few)) THEN
                RETURN QUERY EXECUTE format(template, conditions, true, 'worded_within', ', $4')
                    USING wanted_collection, terms, question, wanted, of_tenant, most;
                RETURN;
            END IF;
            RETURN QUERY EXECUTE format(template, conditions, false, 'worded', '')
                USING wanted_collection, rarest, question, wanted, of_tenant, most;
            GET DIAGNOSTICS found = ROW_COUNT;
            IF found >= most OR cardinality(rarest) = cardinality(terms) THEN
                RETURN;
            ELSIF together <= 10 * candidates THEN
                RETURN QUERY EXECUTE format(template, conditions, true, 'worded', '')
                    USING wanted_collection, terms, question, wanted, of_tenant, most;
            ELSE
                RETURN QUERY EXECUTE format(template, conditions, true, 'worded_among', ', $4')
                    USING wanted_collection, terms, question, wanted, of_tenant, most;
            END IF;
        END $$""")


def _vectors_of() -> None:
    """The vectors of points, as pgvector sends them."""
    op.execute("""
        CREATE FUNCTION stores.vectors_of(of_tenant uuid, wanted_collection text, ids uuid[])
        RETURNS TABLE (id uuid, sent bytea)
        LANGUAGE plpgsql SET search_path = '' SET jit = off AS $$
        BEGIN
            PERFORM set_config('app.tenant', of_tenant::text, true);
            RETURN QUERY SELECT point.id, public.vector_send(point.embedding) FROM stores.point AS point
                WHERE point.tenant = of_tenant AND point.collection = wanted_collection AND point.id = ANY (ids);
        END $$""")


def downgrade() -> None:
    for name in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION stores.{name}")
