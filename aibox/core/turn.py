"""Who acts, in which tenant, in which turn: frozen values that every service method takes first."""

import os
import threading
import time
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

import msgspec
from asyncpg.pgproto.pgproto import UUID as DriverUUID

PLATFORM_TENANT = UUID(int=0)
"""The tenant whose log takes what happens before a tenant is known: boot, a failed sign-in."""

Kind = Literal["user", "service", "anonymous", "system"]


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """What a principal may do; the union of its roles, narrowed by denials (identity.md, "Permissions")."""

    agents: frozenset[str] = frozenset()
    memory: frozenset[str] = frozenset()
    tools_allowed: frozenset[str] = frozenset()
    tools_denied: frozenset[str] = frozenset()
    admin: frozenset[str] = frozenset()
    chat: bool = False


class CostLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in US dollars that a role or a key sets; None is no limit of its own.

    `monthly_usd` is for the person, whatever the key; `key_usd` is what the API key may spend in its whole life.
    """

    monthly_usd: Decimal | None = None
    per_request_usd: Decimal | None = None
    key_usd: Decimal | None = None


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A verified caller. `pseudonym` is random per tenant: the only name that reaches an event.

    `auth_time` is when the person last proved who they are (Unix seconds; None for a key), `amr` how (RFC 8176).
    `issuer` vouches for them ("" is AIBox itself) in its session `issuer_sid`. `models` are all that a key may ask for
    (None: any), and `proof_key` the thumbprint of the key with which each request must be signed (RFC 9449).
    """

    kind: Kind
    tenant: UUID
    id: UUID
    pseudonym: str
    roles: tuple[str, ...] = ()
    permissions: Permissions = Permissions()
    key_id: str | None = None
    session_id: str | None = None
    scopes: frozenset[str] | None = None
    limits: CostLimits = CostLimits()
    issuer: str = ""
    issuer_sid: str = ""
    auth_time: int | None = None
    amr: tuple[str, ...] = ()
    models: frozenset[str] | None = None
    proof_key: str | None = None

    def may(self, permission: str) -> bool:
        """Whether a dotted permission such as `admin.manage_users`, `memory.read_own` or `chat` is granted."""
        group, _, name = permission.partition(".")
        match group:
            case "chat":
                return self.permissions.chat
            case "admin":
                return name in self.permissions.admin
            case "memory":
                return name in self.permissions.memory
            case "agents":
                return name in self.permissions.agents
            case "tools":
                granted = "*" in self.permissions.tools_allowed or name in self.permissions.tools_allowed
                return granted and name not in self.permissions.tools_denied
            case _:
                raise ValueError(f"unknown permission {permission!r}")


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One request or job: the unit that is logged, sealed and paid for. `id` is a UUIDv7, also the run's id.

    What is said in a turn of a `conversation` can be erased with it. `agent` is the id of the agent that runs in it,
    empty for none: budgets and usage know it by that.
    """

    id: UUID
    principal: Principal
    started_us: int
    parent: UUID | None = None
    conversation: UUID | None = None
    agent: str = ""

    @property
    def tenant(self) -> UUID:
        return self.principal.tenant


def begin(principal: Principal, *, parent: UUID | None = None) -> Turn:
    """A new turn of `principal`, beginning now. Nothing is stored until its first event."""
    return Turn(id=uuid7(), principal=principal, started_us=time.time_ns() // 1000, parent=parent)


def system_turn(tenant: UUID = PLATFORM_TENANT, *, parent: UUID | None = None) -> Turn:
    """A turn of AIBox itself in `tenant`: jobs, boot, the administrator at the console."""
    everything = Permissions(
        agents=frozenset({"create", "delete", "configure"}),
        memory=frozenset({"read_own", "read_team", "read_org", "write", "delete", "share"}),
        tools_allowed=frozenset({"*"}),
        admin=frozenset(
            {
                "manage_users",
                "manage_roles",
                "manage_templates",
                "manage_providers",
                "view_audit_log",
                "manage_tenant",
            }
        ),
        chat=True,
    )
    return begin(
        Principal(kind="system", tenant=tenant, id=UUID(int=0), pseudonym="system", permissions=everything),
        parent=parent,
    )


class _Ids:
    """Makes UUIDs in order. A turn has some ten: so the system's random bytes come in batches, and the driver's own
    class of UUID is made, a subclass that is made and written in a tenth of the time."""

    BATCH: Final = 4000

    def __init__(self) -> None:
        self._last = 0
        self._random = b""
        self._at = 0
        self._lock = threading.Lock()

    def next(self) -> UUID:
        with self._lock:
            fresh = (time.time_ns() // 1_000_000) << 74 | self._draw() >> 6
            if fresh <= self._last:
                fresh = self._last + 1 + (self._draw() >> 48)
            self._last = fresh
        high, low = fresh >> 62, fresh & ((1 << 62) - 1)
        milliseconds, rand_a = high >> 12, high & 0xFFF
        made: UUID = DriverUUID((milliseconds << 80 | 0x7 << 76 | rand_a << 64 | 0x2 << 62 | low).to_bytes(16))
        return made

    def _draw(self) -> int:
        """80 random bits."""
        if self._at == len(self._random):
            self._random, self._at = os.urandom(self.BATCH), 0
        self._at += 10
        return int.from_bytes(self._random[self._at - 10 : self._at])


_ids = _Ids()
os.register_at_fork(after_in_child=_ids.__init__)  # type: ignore[misc] # else parent and child would draw the same bytes


def uuid7() -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then random bits; ever greater within a process (§6.2).

    Python 3.14 has it built in.
    """
    return _ids.next()
