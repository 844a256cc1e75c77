"""What an API key may spend in its whole life."""

from alembic import op

revision = "identity_0003"
down_revision = "identity_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE identity.api_key ADD COLUMN budget_usd numeric CHECK (budget_usd >= 0)")


def downgrade() -> None:
    op.execute("ALTER TABLE identity.api_key DROP COLUMN budget_usd")
