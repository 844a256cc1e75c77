"""Policies of tenants and keys, and the sealed values that tokens stand for."""

from alembic import op

from migrations.lanes import confine, create_schema, drop_schema, grant

revision = "guardrail_0001"
down_revision = None
branch_labels = ("guardrail",)
depends_on = None


def upgrade() -> None:
    create_schema("guardrail")
    op.execute("""
        CREATE TABLE guardrail.policy (
            tenant uuid NOT NULL,
            key_id text NOT NULL DEFAULT '',
            policy jsonb NOT NULL,
            PRIMARY KEY (tenant, key_id)
        )""")
    op.execute("""
        CREATE TABLE guardrail.vault (
            tenant uuid NOT NULL,
            conversation uuid NOT NULL,
            token text NOT NULL,
            owner uuid NOT NULL,
            kid text NOT NULL,
            sealed bytea NOT NULL,
            PRIMARY KEY (tenant, conversation, token)
        )""")
    confine("guardrail", "policy")
    confine("guardrail", "vault")
    grant("guardrail", "policy", app=("SELECT", "INSERT", "UPDATE", "DELETE"))
    grant("guardrail", "vault", app=("SELECT", "INSERT", "DELETE"))


def downgrade() -> None:
    drop_schema("guardrail")
