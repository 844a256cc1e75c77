"""Addenda: events that came after their turn was sealed, and where the log commits to them."""

from alembic import op

from migrations.lanes import confine, grant

revision = "audit_0004"
down_revision = "audit_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The late events themselves are in core.event, numbered from `first` on; the sealer gives the addendum its place.
    op.execute("""
        CREATE TABLE audit.addendum (
            tenant uuid NOT NULL,
            turn uuid NOT NULL,
            first integer NOT NULL CHECK (first > 0),
            events integer NOT NULL CHECK (events > 0),
            origin text,
            idx bigint,
            PRIMARY KEY (tenant, turn, first),
            FOREIGN KEY (origin, idx) REFERENCES audit.entry (origin, idx),
            CHECK ((origin IS NULL) = (idx IS NULL))
        )""")
    op.execute("CREATE INDEX ix_addendum_due ON audit.addendum (tenant) WHERE idx IS NULL")
    confine("audit", "addendum")
    grant("audit", "addendum", app=("SELECT", "INSERT"), system=("SELECT", "UPDATE (origin, idx)"))
    # What seals an entry is a file beside its bundle: whatever was published before is written once more, with it.
    op.execute("UPDATE audit.log SET tiled = 0")


def downgrade() -> None:
    op.execute("DROP TABLE audit.addendum")
