"""Tombstones: what an erasure removed, and where the log says so; the server's roles append and place them only."""

from alembic import op

from migrations.lanes import confine, grant

revision = "audit_0003"
down_revision = "audit_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # `ordered` is the first turn that ordered the erasure, `turn` the one that carried it out: after a restore another.
    # Without commitments a row says only that the erasure is done; else the sealer gives it its place in the log.
    op.execute("""
        CREATE TABLE audit.tombstone (
            tenant uuid NOT NULL,
            ordered uuid NOT NULL,
            part integer NOT NULL,
            turn uuid NOT NULL,
            reason text NOT NULL CHECK (reason IN ('request', 'retention')),
            erased_us bigint NOT NULL,
            commitments text[] NOT NULL,
            origin text,
            idx bigint,
            PRIMARY KEY (tenant, ordered, part),
            FOREIGN KEY (origin, idx) REFERENCES audit.entry (origin, idx),
            CHECK ((origin IS NULL) = (idx IS NULL))
        )""")
    op.execute("CREATE INDEX ix_tombstone_commitments ON audit.tombstone USING gin (commitments)")
    op.execute("CREATE INDEX ix_tombstone_due ON audit.tombstone (tenant) WHERE idx IS NULL AND commitments <> '{}'")
    confine("audit", "tombstone")
    grant("audit", "tombstone", app=("SELECT",), system=("SELECT", "INSERT", "UPDATE (origin, idx)"))


def downgrade() -> None:
    op.execute("DROP TABLE audit.tombstone")
