"""Whether the run took up what was decided: the run may be gone, with the process that was killed."""

from alembic import op

revision = "runtime_0005"
down_revision = "runtime_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE runtime.approval ADD COLUMN heard_at timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE runtime.approval DROP COLUMN heard_at")
