"""Logs with their heads, entries, tree nodes, checkpoints and verifier keys; the server's roles only append."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "audit_0001"
down_revision = None
branch_labels = ("audit",)
depends_on = ("core_0001",)


def upgrade() -> None:
    create_schema("audit")
    # The head of a log, and the lock under which its indices are given out.
    op.execute("""
        CREATE TABLE audit.log (
            origin text PRIMARY KEY,
            tenant uuid NOT NULL,
            id text NOT NULL,
            year integer NOT NULL,
            size bigint NOT NULL DEFAULT 0,
            link bytea NOT NULL,
            checkpoint text,
            anchored bigint NOT NULL DEFAULT 0,
            UNIQUE (tenant, year),
            UNIQUE (tenant, id),
            CHECK (anchored <= size)
        )""")
    op.execute("CREATE INDEX ix_log_unanchored ON audit.log (origin) WHERE anchored < size")
    op.execute("""
        CREATE TABLE audit.entry (
            origin text NOT NULL REFERENCES audit.log (origin),
            idx bigint NOT NULL CHECK (idx >= 0),
            tenant uuid NOT NULL,
            data bytea NOT NULL,
            turn uuid,
            signature bytea,
            key_idx bigint,
            PRIMARY KEY (origin, idx),
            UNIQUE (tenant, turn),
            CHECK ((turn IS NULL) = (signature IS NULL) AND (turn IS NULL) = (key_idx IS NULL))
        )""")
    op.execute("""
        CREATE TABLE audit.node (
            origin text NOT NULL REFERENCES audit.log (origin),
            level integer NOT NULL,
            idx bigint NOT NULL,
            tenant uuid NOT NULL,
            hash bytea NOT NULL,
            PRIMARY KEY (origin, level, idx)
        )""")
    op.execute("""
        CREATE TABLE audit.verifier_key (
            origin text NOT NULL REFERENCES audit.log (origin),
            signer text NOT NULL,
            tenant uuid NOT NULL,
            vkeys text[] NOT NULL,
            since bigint NOT NULL,
            PRIMARY KEY (origin, signer)
        )""")
    op.execute("""
        CREATE TABLE audit.checkpoint (
            origin text NOT NULL,
            size bigint NOT NULL,
            tenant uuid NOT NULL,
            signer text NOT NULL,
            note text NOT NULL,
            PRIMARY KEY (origin, size),
            FOREIGN KEY (origin, signer) REFERENCES audit.verifier_key (origin, signer)
        )""")
    for table in ("log", "entry", "node", "verifier_key", "checkpoint"):
        confine("audit", table)
        grant("audit", table, app=("SELECT",), system=("SELECT", "INSERT"))
    # Only a head moves; what stands below it is never changed or removed by a role of the server.
    grant("audit", "log", system=("UPDATE (size, link, checkpoint, anchored)",))


def downgrade() -> None:
    drop_schema("audit")
