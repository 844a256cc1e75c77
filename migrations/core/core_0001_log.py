"""The event log, turns with leases, sealed artifacts, cursors and data keys."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "core_0001"
down_revision = None
branch_labels = ("core",)
depends_on = None


def upgrade() -> None:
    create_schema("core")
    op.execute("""
        CREATE TABLE core.event (
            tenant uuid NOT NULL,
            turn uuid NOT NULL,
            seq integer NOT NULL CHECK (seq >= 0),
            type text NOT NULL,
            source text NOT NULL,
            data bytea NOT NULL,
            xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
            row_id bigint GENERATED ALWAYS AS IDENTITY,
            PRIMARY KEY (tenant, turn, seq)
        )""")
    op.execute("CREATE UNIQUE INDEX ix_event_order ON core.event (xact, row_id)")
    op.execute("""
        CREATE TABLE core.turn (
            tenant uuid NOT NULL,
            turn uuid NOT NULL,
            principal text NOT NULL,
            parent uuid,
            started_us bigint NOT NULL,
            lease_until timestamptz NOT NULL,
            state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'waiting', 'ended', 'sealed')),
            outcome text CHECK (outcome IN ('sealed', 'failed', 'denied', 'abandoned')),
            PRIMARY KEY (tenant, turn)
        )""")
    op.execute("CREATE INDEX ix_turn_lease ON core.turn (lease_until) WHERE state = 'open'")
    op.execute("CREATE INDEX ix_turn_ended ON core.turn (tenant, turn) WHERE state = 'ended'")
    op.execute("""
        CREATE TABLE core.artifact (
            tenant uuid NOT NULL,
            turn uuid NOT NULL,
            commitment text NOT NULL,
            kid text NOT NULL,
            sealed bytea NOT NULL,
            PRIMARY KEY (tenant, turn, commitment)
        )""")
    op.execute("""
        CREATE TABLE core.data_key (
            tenant uuid NOT NULL,
            subject text NOT NULL,
            kid text NOT NULL,
            wrapped text NOT NULL,
            made_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, subject),
            UNIQUE (tenant, kid)
        )""")
    op.execute("""
        CREATE TABLE core.cursor (
            subscriber text PRIMARY KEY,
            xact xid8 NOT NULL DEFAULT '0',
            row_id bigint NOT NULL DEFAULT 0
        )""")
    for table in ("event", "turn", "artifact", "data_key"):
        confine("core", table)
    # Nobody but the owner may change or remove an event: not the app, not the system's role.
    grant("core", "event", app=("SELECT", "INSERT"), system=("SELECT", "INSERT"))
    grant("core", "turn", app=("SELECT", "INSERT"), system=("SELECT", "INSERT", "UPDATE"))
    grant("core", "artifact", app=("SELECT", "INSERT"), system=("SELECT", "INSERT", "DELETE"))
    grant("core", "data_key", system=("SELECT", "INSERT", "UPDATE", "DELETE"))
    grant("core", "cursor", system=("SELECT", "INSERT", "UPDATE"))


def downgrade() -> None:
    drop_schema("core")
