"""Generations: what each model call used and cost, written from `model_response` events."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "observability_0001"
down_revision = None
branch_labels = ("observability",)
depends_on = ("core_0001",)


def upgrade() -> None:
    create_schema("observability")
    op.execute("""
        CREATE TABLE observability.generation (
            tenant uuid NOT NULL,
            turn uuid NOT NULL,
            seq integer NOT NULL,
            at timestamptz NOT NULL,
            principal text NOT NULL,
            key text,
            provider text NOT NULL,
            model text NOT NULL,
            alias text NOT NULL,
            ok boolean NOT NULL,
            code text NOT NULL,
            input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
            output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
            estimated boolean NOT NULL,
            cost_usd numeric CHECK (cost_usd >= 0),
            latency_ms bigint NOT NULL,
            first_byte_ms bigint NOT NULL,
            PRIMARY KEY (tenant, turn, seq)
        )""")
    op.execute("CREATE INDEX ix_generation_principal ON observability.generation (tenant, principal, at)")
    confine("observability", "generation")
    grant("observability", "generation", app=("SELECT",), system=("SELECT", "INSERT"))


def downgrade() -> None:
    drop_schema("observability")
