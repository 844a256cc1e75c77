"""A provider may speak Responses or Messages instead of Chat Completions."""

from alembic import op

revision = "router_0002"
down_revision = "router_0001"
branch_labels = None
depends_on = None

KNOWN = ("chat_completions", "responses", "anthropic_messages")


def upgrade() -> None:
    _hold(KNOWN)


def downgrade() -> None:
    op.execute("DELETE FROM router.provider WHERE adapter <> 'chat_completions'")
    _hold(KNOWN[:1])


def _hold(adapters: tuple[str, ...]) -> None:
    names = ", ".join(f"'{adapter}'" for adapter in adapters)
    op.execute("ALTER TABLE router.provider DROP CONSTRAINT IF EXISTS provider_adapter_check")
    op.execute(f"ALTER TABLE router.provider ADD CONSTRAINT provider_adapter_check CHECK (adapter IN ({names}))")
