"""Whether the database's logs are as far as what was signed and stands outside: asked before a start (B11).

While AIBox runs, a log that falls behind is not signed any more and all else goes on. A start is refused: whoever
restored an old backup learns it before anybody works on it.
"""

from uuid import UUID

import asyncpg
import structlog

from aibox.audit import logs
from aibox.audit.heads import HeadCopies, HeadRefused
from aibox.audit.witnesses import Witnesses
from aibox.core.connections import LOST, Connections
from aibox.core.errors import BootRefused, StateUnavailable

log = structlog.get_logger("aibox.audit.rollback")


async def require_none(connections: Connections, copies: HeadCopies, witnesses: Witnesses | None, tenant: UUID) -> None:
    """Raise `BootRefused` (`boot_log_rollback`) for a log that is behind its copy or a witness, or contradicts them.

    `tenant` is the first one, which every installation has. Who cannot be asked now holds up no start: no head is
    signed before its copy was compared.
    """
    try:
        await copies.look()
        await _require_known(connections, copies, tenant)
    except HeadRefused:
        pass  # it stands in `refused`
    except (*LOST, StateUnavailable, asyncpg.PostgresError) as error:
        log.warning("audit.not_compared", error=type(error).__name__)
    behind = dict(copies.refused)
    if not behind and witnesses is not None:
        behind = await witnesses.ahead()
    for origin, reason in behind.items():
        raise BootRefused(
            "boot_log_rollback",
            f"Restore the newest backup, or give the log up by `aibox-admin audit recover`: {origin}: {reason}.",
        )


async def _require_known(connections: Connections, copies: HeadCopies, tenant: UUID) -> None:
    """A tenant without a log of this or the last year must have no copy of one either: else the database is new."""
    rows = await connections.system.fetch("SELECT year FROM audit.log WHERE tenant = $1", tenant)
    year = logs.this_year()
    for missing in {year - 1, year} - {row["year"] for row in rows}:
        await copies.require_new(str(tenant), missing)
