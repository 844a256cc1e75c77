"""The queue of jobs."""

from alembic import op

from migrations.lanes import confine, grant

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE core.job (
            tenant uuid NOT NULL,
            id uuid NOT NULL,
            kind text NOT NULL,
            payload jsonb NOT NULL,
            dedupe text,
            parent uuid,
            state text NOT NULL DEFAULT 'pending'
                CHECK (state IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
            attempt integer NOT NULL DEFAULT 0,
            max_attempts integer NOT NULL CHECK (max_attempts > 0),
            run_at timestamptz NOT NULL DEFAULT now(),
            lease_until timestamptz,
            code text,
            created_at timestamptz NOT NULL DEFAULT now(),
            ended_at timestamptz,
            PRIMARY KEY (tenant, id)
        )""")
    op.execute(
        "CREATE UNIQUE INDEX ix_job_dedupe ON core.job (tenant, kind, dedupe)"
        " WHERE state = 'pending' AND dedupe IS NOT NULL"
    )
    op.execute("CREATE INDEX ix_job_due ON core.job (run_at) WHERE state IN ('pending', 'running')")
    op.execute("CREATE INDEX ix_job_ended ON core.job (ended_at) WHERE ended_at IS NOT NULL")
    confine("core", "job")
    grant("core", "job", app=("SELECT", "INSERT", "UPDATE"), system=("SELECT", "UPDATE", "DELETE"))


def downgrade() -> None:
    op.execute("DROP TABLE core.job")
