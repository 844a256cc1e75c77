"""Conversations, items, runs and stream events."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "runtime_0001"
down_revision = None
branch_labels = ("runtime",)
depends_on = None


def upgrade() -> None:
    create_schema("runtime")
    op.execute("""
        CREATE TABLE runtime.conversation (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            owner uuid NOT NULL,
            title text NOT NULL DEFAULT '',
            pinned boolean NOT NULL DEFAULT false,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, id)
        )""")
    op.execute("CREATE INDEX ix_conversation_owner ON runtime.conversation (tenant, owner, updated_at DESC)")
    op.execute("""
        CREATE TABLE runtime.item (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            conversation uuid NOT NULL,
            parent uuid,
            role text NOT NULL CHECK (role IN ('user', 'assistant')),
            content text NOT NULL DEFAULT '',
            model_content text NOT NULL DEFAULT '',
            run uuid NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, conversation) REFERENCES runtime.conversation (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("CREATE INDEX ix_item_conversation ON runtime.item (tenant, conversation, id)")
    op.execute("""
        CREATE TABLE runtime.run (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            conversation uuid NOT NULL,
            item uuid NOT NULL,
            status text NOT NULL
                CHECK (status IN ('queued', 'running', 'waiting_approval', 'completed', 'failed', 'cancelled')),
            finish_reason text,
            code text,
            usage jsonb,
            started_at timestamptz NOT NULL DEFAULT now(),
            ended_at timestamptz,
            PRIMARY KEY (tenant, id),
            FOREIGN KEY (tenant, conversation) REFERENCES runtime.conversation (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("CREATE INDEX ix_run_conversation ON runtime.run (tenant, conversation, id)")
    op.execute("""
        CREATE TABLE runtime.run_event (
            tenant uuid NOT NULL,
            run uuid NOT NULL,
            n integer NOT NULL,
            name text NOT NULL,
            data text NOT NULL,
            at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, run, n),
            FOREIGN KEY (tenant, run) REFERENCES runtime.run (tenant, id) ON DELETE CASCADE
        )""")
    op.execute("CREATE INDEX ix_run_event_at ON runtime.run_event (at)")
    for table in ("conversation", "item", "run", "run_event"):
        confine("runtime", table)
        grant("runtime", table, app=("SELECT", "INSERT", "UPDATE", "DELETE"))
    # The system's role fails the runs of a crashed process and forgets old stream events, for all tenants.
    grant("runtime", "run", system=("SELECT", "UPDATE"))
    grant("runtime", "run_event", system=("SELECT", "INSERT", "DELETE"))


def downgrade() -> None:
    drop_schema("runtime")
