"""Scopes of agents and sessions, who has memory switched off, and merges in the history."""

from alembic import op

from migrations.lanes import confine, grant

revision = "memory_0002"
down_revision = "memory_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE memory.memory ADD COLUMN agent_id text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE memory.memory ADD COLUMN session_id text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE memory.memory ADD COLUMN consolidated_at timestamptz")
    op.execute("ALTER TABLE memory.memory DROP CONSTRAINT memory_tenant_user_id_digest_key")
    op.execute("ALTER TABLE memory.memory ADD UNIQUE (tenant, user_id, agent_id, session_id, digest)")
    op.execute("CREATE INDEX ix_memory_shared ON memory.memory (tenant, visibility) WHERE visibility <> 'private'")
    op.execute("UPDATE memory.memory SET is_indexed = false")  # the points have no scope yet
    op.execute("ALTER TABLE memory.history DROP CONSTRAINT history_op_check")
    op.execute("ALTER TABLE memory.history ADD CHECK (op IN ('store', 'update', 'merge'))")
    op.execute("""
        CREATE TABLE memory.switch (
            tenant uuid NOT NULL,
            user_id uuid NOT NULL,
            is_off boolean NOT NULL,
            PRIMARY KEY (tenant, user_id)
        )""")
    confine("memory", "switch")
    grant("memory", "switch", app=("SELECT", "INSERT", "UPDATE", "DELETE"))


def downgrade() -> None:
    op.execute("DROP TABLE memory.switch")
    op.execute("DELETE FROM memory.history WHERE op = 'merge'")
    op.execute("ALTER TABLE memory.history DROP CONSTRAINT history_op_check")
    op.execute("ALTER TABLE memory.history ADD CHECK (op IN ('store', 'update'))")
    op.execute("DROP INDEX memory.ix_memory_shared")
    op.execute("DELETE FROM memory.memory WHERE agent_id <> '' OR session_id <> ''")
    op.execute("ALTER TABLE memory.memory DROP CONSTRAINT memory_tenant_user_id_agent_id_session_id_digest_key")
    op.execute("ALTER TABLE memory.memory DROP COLUMN agent_id, DROP COLUMN session_id, DROP COLUMN consolidated_at")
    op.execute("ALTER TABLE memory.memory ADD UNIQUE (tenant, user_id, digest)")
