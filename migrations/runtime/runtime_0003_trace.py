"""What a turn did around the model stands with its answer: its steps, what it recalled, the tokens of what it masked.

Memories are named and not copied, and a token says nothing without the vault.
"""

from alembic import op

revision = "runtime_0003"
down_revision = "runtime_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE runtime.item
            ADD COLUMN trace jsonb NOT NULL DEFAULT '[]',
            ADD COLUMN recalled jsonb NOT NULL DEFAULT '[]',
            ADD COLUMN masked jsonb NOT NULL DEFAULT '[]'""")


def downgrade() -> None:
    op.execute("ALTER TABLE runtime.item DROP COLUMN trace, DROP COLUMN recalled, DROP COLUMN masked")
