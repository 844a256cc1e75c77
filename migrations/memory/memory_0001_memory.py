"""Memories and their history. The vectors beside them can be rebuilt from these rows."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "memory_0001"
down_revision = None
branch_labels = ("memory",)
depends_on = None


def upgrade() -> None:
    create_schema("memory")
    op.execute("""
        CREATE TABLE memory.memory (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            user_id uuid NOT NULL,
            content text NOT NULL,
            digest bytea NOT NULL,
            memory_type text NOT NULL CHECK (memory_type IN ('user', 'feedback', 'project', 'reference')),
            kind text NOT NULL CHECK (kind IN ('fact', 'preference', 'event', 'skill-note')),
            visibility text NOT NULL CHECK (visibility IN ('private', 'team', 'org')),
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            is_indexed boolean NOT NULL DEFAULT false,
            PRIMARY KEY (tenant, id),
            UNIQUE (tenant, user_id, digest)
        )""")
    op.execute("CREATE INDEX ix_memory_recent ON memory.memory (tenant, user_id, updated_at DESC)")
    op.execute("CREATE INDEX ix_memory_waiting ON memory.memory (id) WHERE NOT is_indexed")
    op.execute("""
        CREATE TABLE memory.history (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            memory_id uuid NOT NULL,
            op text NOT NULL CHECK (op IN ('store', 'update')),
            content text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, memory_id) REFERENCES memory.memory (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("CREATE INDEX ix_history_memory ON memory.history (tenant, memory_id)")
    confine("memory", "memory")
    confine("memory", "history")
    grant("memory", "memory", app=("SELECT", "INSERT", "UPDATE", "DELETE"), system=("SELECT", "UPDATE"))
    grant("memory", "history", app=("SELECT", "INSERT"))


def downgrade() -> None:
    drop_schema("memory")
