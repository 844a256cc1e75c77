"""Budgets, what is spent and reserved of them, price lists; and the two functions that keep the books.

`reserve` and `settle` lock in one order, whoever calls them: reservations by key, then generations by key, then the
lock under which missing rows of `spending` are made, then rows of `spending` by key. Two of them never wait for each
other in a circle.
"""

from alembic import op

from migrations.lanes import confine, grant

revision = "observability_0002"
down_revision = "observability_0001"
branch_labels = None
depends_on = None

NEW_COLUMNS = (
    "call text NOT NULL DEFAULT ''",
    "agent text",
    "cached_tokens bigint NOT NULL DEFAULT 0 CHECK (cached_tokens >= 0)",
    "cache_write_tokens bigint NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0)",
    "reasoning_tokens bigint NOT NULL DEFAULT 0 CHECK (reasoning_tokens >= 0)",
    # The moment whose day and month pay for the call: when it was reserved, else when it ended.
    "charged_at timestamptz",
)

# What a moment's spending is booked on: each of the four subjects has a row a day and one a month, a key one for good.
SPENDINGS_OF = """
CREATE FUNCTION observability.spendings_of(principal text, key text, agent text, moment timestamptz)
RETURNS TABLE (subject text, subject_id text, period text, starts date)
LANGUAGE sql IMMUTABLE AS $$
    SELECT who.subject, who.subject_id, span.period, span.starts
    FROM (VALUES ('tenant', ''), ('user', principal), ('key', key), ('agent', agent)) AS who (subject, subject_id)
    CROSS JOIN LATERAL (VALUES
        ('day', (moment AT TIME ZONE 'UTC')::date),
        ('month', date_trunc('month', moment AT TIME ZONE 'UTC')::date),
        ('total', DATE '1970-01-01')
    ) AS span (period, starts)
    WHERE who.subject_id IS NOT NULL AND (who.subject = 'tenant' OR who.subject_id <> '')
      AND (span.period <> 'total' OR who.subject = 'key')
$$
"""

# Every limit that holds for the calls asked for, each with the row of `spending` it is counted on.
LIMITS_ON = """
CREATE FUNCTION observability.limits_on(asked jsonb)
RETURNS TABLE (n int, tenant uuid, subject text, subject_id text, period text, starts date, limit_usd numeric,
               action text)
LANGUAGE sql STABLE AS $$
    WITH call AS (
        SELECT * FROM jsonb_to_recordset(asked) AS x (n int, tenant uuid, principal text, key text, agent text,
                                                      month_limit_usd numeric, key_limit_usd numeric)
    ), held AS (
        SELECT c.n, b.tenant, b.subject, b.subject_id, b.period, b.limit_usd, b.action
        FROM call c JOIN observability.budget b ON b.tenant = c.tenant AND (b.subject, b.subject_id) IN (
            ('tenant', ''), ('user', c.principal), ('key', coalesce(c.key, '')), ('agent', coalesce(c.agent, '')))
        UNION ALL
        SELECT c.n, c.tenant, 'user', c.principal, 'month', c.month_limit_usd, 'block'
        FROM call c WHERE c.month_limit_usd IS NOT NULL
        UNION ALL
        SELECT c.n, c.tenant, 'key', c.key, 'total', c.key_limit_usd, 'block'
        FROM call c WHERE c.key_limit_usd IS NOT NULL AND c.key <> ''
    )
    SELECT held.n, held.tenant, held.subject, held.subject_id, held.period,
           CASE held.period WHEN 'day' THEN (now() AT TIME ZONE 'UTC')::date
                            WHEN 'month' THEN date_trunc('month', now() AT TIME ZONE 'UTC')::date
                            ELSE DATE '1970-01-01' END,
           held.limit_usd, held.action
    FROM held
$$
"""

# Makes the rows of `spending` that are missing. Whoever makes one holds a lock, taken before any row is locked.
OPEN_SPENDINGS = """
CREATE FUNCTION observability.open_spendings(wanted jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM jsonb_to_recordset(wanted)
            AS w (tenant uuid, subject text, subject_id text, period text, starts date)
        WHERE NOT EXISTS (
            SELECT 1 FROM observability.spending s WHERE (s.tenant, s.subject, s.subject_id, s.period, s.starts)
                = (w.tenant, w.subject, w.subject_id, w.period, w.starts))
    ) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('observability.spending', 0));
        INSERT INTO observability.spending (tenant, subject, subject_id, period, starts)
        SELECT DISTINCT w.tenant, w.subject, w.subject_id, w.period, w.starts
        FROM jsonb_to_recordset(wanted)
            AS w (tenant uuid, subject text, subject_id text, period text, starts date)
        ON CONFLICT DO NOTHING;
    END IF;
END
$$
"""

# Reserves for each call in turn, in all that holds for it or in none. One row comes back for each call that a limit
# holds for. `synchronous_commit` is off: the caller logs `model_invoked` next and waits for that commit, which takes
# this one to disk with it, for the log of PostgreSQL is one.
RESERVE = """
CREATE FUNCTION observability.reserve(asked jsonb)
RETURNS TABLE (n int, verdict text, subject text, subject_id text, period text, starts date, limit_usd numeric,
               spent_usd numeric, held_usd numeric)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c record;
    hit record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM observability.open_spendings((
        SELECT jsonb_agg(to_jsonb(l)) FROM observability.limits_on(asked) l));
    PERFORM 1 FROM observability.spending s
    WHERE (s.tenant, s.subject, s.subject_id, s.period, s.starts) IN (
        SELECT l.tenant, l.subject, l.subject_id, l.period, l.starts FROM observability.limits_on(asked) l)
    ORDER BY s.tenant, s.subject, s.subject_id, s.period, s.starts
    FOR UPDATE;
    FOR c IN
        SELECT x.*, held.spendings, held.limits
        FROM jsonb_to_recordset(asked) AS x (n int, tenant uuid, call text, turn uuid, principal text, key text,
                                             agent text, provider text, model text, usd numeric, expires_at timestamptz)
        JOIN (
            SELECT l.n, array_agg(DISTINCT s.id) AS spendings,
                   jsonb_agg(jsonb_build_object('id', s.id, 'limit_usd', l.limit_usd, 'action', l.action)) AS limits
            FROM observability.limits_on(asked) l
            JOIN observability.spending s ON (s.tenant, s.subject, s.subject_id, s.period, s.starts)
                = (l.tenant, l.subject, l.subject_id, l.period, l.starts)
            GROUP BY l.n
        ) held ON held.n = x.n
        ORDER BY x.n
    LOOP
        n := c.n;
        IF EXISTS (SELECT 1 FROM observability.reservation r WHERE r.tenant = c.tenant AND r.call = c.call) THEN
            verdict := 'granted';  -- asked again, after an answer that was lost on its way
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT s.subject, s.subject_id, s.period, s.starts, l.limit_usd, s.spent_usd, s.reserved_usd AS held_usd,
               l.action
        INTO hit
        FROM jsonb_to_recordset(c.limits) AS l (id bigint, limit_usd numeric, action text)
        JOIN observability.spending s ON s.tenant = c.tenant AND s.id = l.id
        WHERE s.spent_usd + s.reserved_usd + c.usd > l.limit_usd
        ORDER BY l.action, s.starts DESC, s.subject
        LIMIT 1;
        IF hit.action IS NULL THEN
            verdict := 'granted';
        ELSIF hit.action = 'warn' THEN
            verdict := 'warned';
        ELSE
            verdict := 'refused';
        END IF;
        subject := hit.subject; subject_id := hit.subject_id; period := hit.period; starts := hit.starts;
        limit_usd := hit.limit_usd; spent_usd := hit.spent_usd; held_usd := hit.held_usd;
        IF verdict <> 'refused' THEN
            INSERT INTO observability.reservation
                (tenant, call, turn, principal, key, agent, provider, model, usd, expires_at, spendings)
            VALUES (c.tenant, c.call, c.turn, c.principal, c.key, c.agent, c.provider, c.model, c.usd, c.expires_at,
                    c.spendings);
            UPDATE observability.spending s SET reserved_usd = s.reserved_usd + c.usd
            WHERE s.tenant = c.tenant AND s.id = ANY (c.spendings);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$
"""

# Writes the generations that are not written yet, books what they cost, and frees the reservations of `calls`: all
# of it in one transaction, so that what is spent always equals what the generations cost. A commit that a power cut
# loses is made again from the log.
SETTLE = """
CREATE FUNCTION observability.settle(made jsonb, calls jsonb) RETURNS SETOF observability.generation
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    freed observability.reservation[];
    written observability.generation[];
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM 1 FROM observability.reservation r
    JOIN jsonb_to_recordset(calls) AS x (tenant uuid, call text) ON r.tenant = x.tenant AND r.call = x.call
    ORDER BY r.tenant, r.call FOR UPDATE OF r;
    WITH gone AS (
        DELETE FROM observability.reservation r USING jsonb_to_recordset(calls) AS x (tenant uuid, call text)
        WHERE r.tenant = x.tenant AND r.call = x.call RETURNING r
    ) SELECT coalesce(array_agg(gone.r), '{}') INTO freed FROM gone;
    WITH new AS (
        INSERT INTO observability.generation AS g
            (tenant, turn, seq, at, principal, key, agent, provider, model, alias, call, ok, code, input_tokens,
             cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated, cost_usd, latency_ms,
             first_byte_ms, charged_at)
        SELECT x.tenant, x.turn, x.seq, x.at, x.principal, x.key, x.agent, x.provider, x.model, x.alias, x.call, x.ok,
               x.code, x.input_tokens, x.cached_tokens, x.cache_write_tokens, x.output_tokens, x.reasoning_tokens,
               x.estimated, x.cost_usd, x.latency_ms, x.first_byte_ms, coalesce(r.at, x.at)
        FROM jsonb_to_recordset(made) AS x (tenant uuid, turn uuid, seq int, at timestamptz, principal text, key text,
             agent text, provider text, model text, alias text, call text, ok boolean, code text, input_tokens bigint,
             cached_tokens bigint, cache_write_tokens bigint, output_tokens bigint, reasoning_tokens bigint,
             estimated boolean, cost_usd numeric, latency_ms bigint, first_byte_ms bigint)
        LEFT JOIN unnest(freed) r ON r.tenant = x.tenant AND r.call = x.call
        ORDER BY x.tenant, x.turn, x.seq
        ON CONFLICT (tenant, turn, seq) DO NOTHING
        RETURNING g
    ) SELECT coalesce(array_agg(new.g), '{}') INTO written FROM new;
    PERFORM observability.open_spendings((
        SELECT jsonb_agg(DISTINCT jsonb_build_object('tenant', w.tenant, 'subject', s.subject,
            'subject_id', s.subject_id, 'period', s.period, 'starts', s.starts))
        FROM unnest(written) w, observability.spendings_of(w.principal, w.key, w.agent, w.charged_at) s
        WHERE w.cost_usd > 0));
    PERFORM 1 FROM observability.spending s
    WHERE (s.tenant, s.subject, s.subject_id, s.period, s.starts) IN (
            SELECT w.tenant, o.subject, o.subject_id, o.period, o.starts
            FROM unnest(written) w, observability.spendings_of(w.principal, w.key, w.agent, w.charged_at) o
            WHERE w.cost_usd > 0)
       OR (s.tenant, s.id) IN (SELECT r.tenant, unnest(r.spendings) FROM unnest(freed) r)
    ORDER BY s.tenant, s.subject, s.subject_id, s.period, s.starts
    FOR UPDATE;
    UPDATE observability.spending s SET spent_usd = s.spent_usd + d.usd
    FROM (
        SELECT w.tenant, o.subject, o.subject_id, o.period, o.starts, sum(w.cost_usd) AS usd
        FROM unnest(written) w, observability.spendings_of(w.principal, w.key, w.agent, w.charged_at) o
        WHERE w.cost_usd > 0 GROUP BY 1, 2, 3, 4, 5
    ) d
    WHERE (s.tenant, s.subject, s.subject_id, s.period, s.starts)
        = (d.tenant, d.subject, d.subject_id, d.period, d.starts);
    UPDATE observability.spending s SET reserved_usd = s.reserved_usd - d.usd
    FROM (
        SELECT held.tenant, held.id, sum(held.usd) AS usd
        FROM (SELECT r.tenant, unnest(r.spendings) AS id, r.usd FROM unnest(freed) r) held GROUP BY 1, 2
    ) d
    WHERE s.tenant = d.tenant AND s.id = d.id;
    RETURN QUERY SELECT * FROM unnest(written);
END
$$
"""

TABLES = ("budget", "spending", "reservation", "notice", "price_list")


def upgrade() -> None:
    for column in NEW_COLUMNS:
        op.execute(f"ALTER TABLE observability.generation ADD COLUMN {column}")
    op.execute("UPDATE observability.generation SET charged_at = at")
    op.execute("ALTER TABLE observability.generation ALTER COLUMN charged_at SET NOT NULL")
    op.execute("CREATE INDEX ix_generation_at ON observability.generation (tenant, at)")
    op.execute("""
        CREATE TABLE observability.budget (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            subject text NOT NULL CHECK (subject IN ('tenant', 'user', 'key', 'agent')),
            subject_id text NOT NULL CHECK ((subject = 'tenant') = (subject_id = '')),
            period text NOT NULL CHECK (period IN ('day', 'month')),
            limit_usd numeric NOT NULL CHECK (limit_usd >= 0),
            soft_pct integer NOT NULL CHECK (soft_pct BETWEEN 1 AND 100),
            action text NOT NULL CHECK (action IN ('warn', 'block')),
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, id),
            UNIQUE (tenant, subject, subject_id, period)
        )""")
    # `total` is for the limit of an API key, which holds for the key's whole life.
    op.execute("""
        CREATE TABLE observability.spending (
            tenant uuid NOT NULL,
            id bigint GENERATED ALWAYS AS IDENTITY,
            subject text NOT NULL CHECK (subject IN ('tenant', 'user', 'key', 'agent')),
            subject_id text NOT NULL,
            period text NOT NULL CHECK (period IN ('day', 'month', 'total')),
            starts date NOT NULL,
            spent_usd numeric NOT NULL DEFAULT 0 CHECK (spent_usd >= 0),
            reserved_usd numeric NOT NULL DEFAULT 0 CHECK (reserved_usd >= 0),
            PRIMARY KEY (tenant, subject, subject_id, period, starts),
            UNIQUE (tenant, id)
        ) WITH (fillfactor = 50)""")
    op.execute("""
        CREATE TABLE observability.reservation (
            tenant uuid NOT NULL,
            call text NOT NULL,
            turn uuid NOT NULL,
            principal text NOT NULL,
            key text,
            agent text,
            provider text NOT NULL,
            model text NOT NULL,
            usd numeric NOT NULL CHECK (usd >= 0),
            at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            spendings bigint[] NOT NULL,
            PRIMARY KEY (tenant, call)
        )""")
    op.execute("""
        CREATE TABLE observability.notice (
            tenant uuid NOT NULL,
            budget uuid NOT NULL,
            starts date NOT NULL,
            at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, budget, starts),
            FOREIGN KEY (tenant, budget) REFERENCES observability.budget (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("""
        CREATE TABLE observability.price_list (
            tenant uuid NOT NULL,
            source text NOT NULL,
            fetched_at timestamptz NOT NULL,
            prices jsonb NOT NULL,
            PRIMARY KEY (tenant, source)
        )""")
    for table in TABLES:
        confine("observability", table)
    grant("observability", "budget", app=("SELECT", "INSERT", "UPDATE", "DELETE"), system=("SELECT",))
    grant("observability", "spending", app=("SELECT",), system=("SELECT", "INSERT", "UPDATE"))
    # UPDATE is for `SELECT … FOR UPDATE`, which locks.
    grant("observability", "reservation", app=("SELECT",), system=("SELECT", "INSERT", "UPDATE", "DELETE"))
    grant("observability", "notice", app=("SELECT", "INSERT"), system=("SELECT",))
    grant("observability", "price_list", system=("SELECT", "INSERT", "UPDATE"))
    for function in (SPENDINGS_OF, LIMITS_ON, OPEN_SPENDINGS, RESERVE, SETTLE):
        op.execute(function)
    op.execute("""
        INSERT INTO observability.spending (tenant, subject, subject_id, period, starts, spent_usd)
        SELECT g.tenant, s.subject, s.subject_id, s.period, s.starts, sum(g.cost_usd)
        FROM observability.generation g, observability.spendings_of(g.principal, g.key, g.agent, g.charged_at) s
        WHERE g.cost_usd > 0 GROUP BY 1, 2, 3, 4, 5""")


def downgrade() -> None:
    for function in ("settle", "reserve", "open_spendings", "limits_on", "spendings_of"):
        op.execute(f"DROP FUNCTION observability.{function}")
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE IF EXISTS observability.{table}")
    op.execute("DROP INDEX observability.ix_generation_at")
    for column in NEW_COLUMNS:
        op.execute(f"ALTER TABLE observability.generation DROP COLUMN {column.split()[0]}")
