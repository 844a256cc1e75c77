"""Which tenant a platform administrator has entered, by the session that entered it."""

from alembic import op

revision = "identity_0005"
down_revision = "identity_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE identity.session ADD COLUMN visiting uuid CHECK (visiting <> tenant)")


def downgrade() -> None:
    op.execute("ALTER TABLE identity.session DROP COLUMN visiting")
