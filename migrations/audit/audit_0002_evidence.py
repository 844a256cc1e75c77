"""Cosignatures and time stamps of heads, how far tiles are out, closed logs; the server's roles only append."""

from alembic import op

from migrations.lanes import confine, grant

revision = "audit_0002"
down_revision = "audit_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # `witnessed` and `tiled` count entries: those under a head that enough witnesses cosigned, and those with tiles
    # in the object store. A closed log gets no more entries.
    op.execute("""
        ALTER TABLE audit.log
            ADD COLUMN witnessed bigint NOT NULL DEFAULT 0,
            ADD COLUMN tiled bigint NOT NULL DEFAULT 0,
            ADD COLUMN closed boolean NOT NULL DEFAULT false""")
    op.execute("""
        CREATE TABLE audit.cosignature (
            origin text NOT NULL,
            size bigint NOT NULL,
            vkey text NOT NULL,
            tenant uuid NOT NULL,
            line text NOT NULL,
            PRIMARY KEY (origin, size, vkey),
            FOREIGN KEY (origin, size) REFERENCES audit.checkpoint (origin, size)
        )""")
    op.execute("""
        CREATE TABLE audit.stamp (
            origin text NOT NULL,
            size bigint NOT NULL,
            tenant uuid NOT NULL,
            at timestamptz NOT NULL,
            reply bytea NOT NULL,
            PRIMARY KEY (origin, size),
            FOREIGN KEY (origin, size) REFERENCES audit.checkpoint (origin, size)
        )""")
    for table in ("cosignature", "stamp"):
        confine("audit", table)
        grant("audit", table, app=("SELECT",), system=("SELECT", "INSERT"))
    grant("audit", "log", system=("UPDATE (witnessed, tiled, closed)",))


def downgrade() -> None:
    for table in ("stamp", "cosignature"):
        op.execute(f"DROP TABLE audit.{table}")
    op.execute("ALTER TABLE audit.log DROP COLUMN witnessed, DROP COLUMN tiled, DROP COLUMN closed")
