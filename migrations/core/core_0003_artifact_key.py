"""Finds the artifacts that a data key sealed: erasure destroys the one and removes the others."""

from alembic import op

revision = "core_0003"
down_revision = "core_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_artifact_kid ON core.artifact (tenant, kid)")


def downgrade() -> None:
    op.execute("DROP INDEX core.ix_artifact_kid")
