"""How many values are kept for a person is counted before more are."""

from alembic import op

revision = "guardrail_0003"
down_revision = "guardrail_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX vault_owner ON guardrail.vault (tenant, owner)")


def downgrade() -> None:
    op.execute("DROP INDEX guardrail.vault_owner")
