"""Policies of agents, beside those of tenants and keys."""

from alembic import op

revision = "guardrail_0002"
down_revision = "guardrail_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE guardrail.policy ADD COLUMN agent_id text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE guardrail.policy DROP CONSTRAINT policy_pkey")
    op.execute("ALTER TABLE guardrail.policy ADD PRIMARY KEY (tenant, agent_id, key_id)")


def downgrade() -> None:
    op.execute("DELETE FROM guardrail.policy WHERE agent_id <> ''")
    op.execute("ALTER TABLE guardrail.policy DROP CONSTRAINT policy_pkey")
    op.execute("ALTER TABLE guardrail.policy DROP COLUMN agent_id")
    op.execute("ALTER TABLE guardrail.policy ADD PRIMARY KEY (tenant, key_id)")
