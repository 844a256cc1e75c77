"""What every lane of migrations shares: tenant tables with forced row-level security, and the grants of the roles.

A lane is a folder here, a branch label and a PostgreSQL schema, all named like the module.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

APP = "aibox_app"
SYSTEM = "aibox_system"


def create_schema(module: str) -> None:
    """The module's schema, which both roles may look into."""
    op.execute(f"CREATE SCHEMA IF NOT EXISTS {module}")
    op.execute(f"GRANT USAGE ON SCHEMA {module} TO {APP}, {SYSTEM}")


def drop_schema(module: str) -> None:
    op.execute(f"DROP SCHEMA IF EXISTS {module} CASCADE")


def tenant() -> sa.Column[object]:
    """The column that row-level security reads; it stands in every unique key."""
    return sa.Column("tenant", postgresql.UUID(as_uuid=True), nullable=False)


def confine(module: str, table: str) -> None:
    """Force row-level security by tenant on `module.table`, for its owner too."""
    name = f"{module}.{table}"
    own = "tenant = nullif(current_setting('app.tenant', true), '')::uuid"
    op.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON {name} USING ({own}) WITH CHECK ({own})")


def grant(module: str, table: str, *, app: Sequence[str] = (), system: Sequence[str] = ()) -> None:
    """Give the app's and the system's role exactly these rights, such as `("SELECT", "INSERT")`."""
    for role, rights in ((APP, app), (SYSTEM, system)):
        if rights:
            op.execute(f"GRANT {', '.join(rights)} ON {module}.{table} TO {role}")
