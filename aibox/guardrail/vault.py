"""Tokens such as `<EMAIL_ADDRESS_1>` and the values they stand for.

Of a conversation they are kept in the database, each value sealed under its writer's data key: erasing that key erases
the values. Without a conversation they live in this process for the turn.
"""

from collections import OrderedDict
from collections.abc import Collection
from uuid import UUID

import regex
from sqlalchemy import Select, delete, func, select, text

from aibox.core.db import Database
from aibox.core.errors import NotFound
from aibox.core.keys import DataKeys
from aibox.core.turn import Turn
from aibox.guardrail import VaultFull
from aibox.guardrail.models import VaultRow

TOKEN = regex.compile(r"<[A-Z][A-Z_]{1,30}_[1-9][0-9]{0,5}>")
HELD_TURNS, HELD_VALUES = 4096, 200_000
"""Turns whose tokens are held here at once, and their values together; a forgotten one's tokens stay tokens."""

Value = tuple[str, str]
"""A kind and what was written: `("EMAIL_ADDRESS", "anna@example.com")`."""


class Vault:
    """Gives values tokens, and tokens back to whoever wrote the value."""

    def __init__(self, db: Database, keys: DataKeys, *, most: int) -> None:
        """`most`: so many values a conversation holds, or a turn without one."""
        self._db = db
        self._keys = keys
        self._most = most
        self._held: OrderedDict[UUID, dict[str, str]] = OrderedDict()
        self._count = 0

    async def tokens(self, turn: Turn, conversation: UUID | None, values: Collection[Value]) -> dict[Value, str]:
        """A token for each value: the one it has in the conversation already, else a new one. Raises `VaultFull`."""
        if not values:
            return {}
        if conversation is None:
            held = self._held_for(turn)
            self._require_room(held, values)
            self._count -= len(held)
            numbered = _number(held, values)
            self._count += len(held)
            self._forget_oldest()
            return numbered
        known = await self.values(turn, conversation)
        if _missing(known, values):
            known = await self._add(turn, conversation, values)
        return _number(known, values)

    async def values(self, turn: Turn, conversation: UUID | None) -> dict[str, str]:
        """Token to value, of what the turn's own user wrote."""
        if conversation is None:
            return self._held.get(turn.id, {})
        async with self._db.read(turn) as session:
            rows = (await session.scalars(_rows(turn, conversation).where(VaultRow.owner == turn.principal.id))).all()
        found = {}
        for row in rows:
            key = await self._keys.named(turn.tenant, row.kid)
            if key is not None:  # else the person was erased
                found[row.token] = key.open_bytes(row.sealed, owner=str(conversation), field=row.token).decode(
                    "utf-8", "surrogatepass"
                )
        return found

    async def require_own(self, turn: Turn, conversation: UUID) -> None:
        """Raises `NotFound` where another person's tokens stand: how many, the next number would tell."""
        strange = _rows(turn, conversation).where(VaultRow.owner != turn.principal.id).limit(1)
        async with self._db.read(turn) as session:
            if (await session.scalars(strange)).first() is not None:
                raise NotFound("There is no such conversation.")

    async def count(self, turn: Turn) -> int:
        """How many values are kept for the turn's user, over all conversations."""
        own = select(func.count()).where(VaultRow.tenant == turn.tenant, VaultRow.owner == turn.principal.id)
        async with self._db.read(turn) as session:
            return await session.scalar(own) or 0

    async def forget(self, turn: Turn, conversation: UUID, *, owner: UUID | None = None) -> None:
        """Remove the conversation's values, or those of `owner` alone; their tokens stay tokens."""
        gone = delete(VaultRow).where(VaultRow.tenant == turn.tenant, VaultRow.conversation == conversation)
        async with self._db.work(turn) as work:
            await work.session.execute(gone if owner is None else gone.where(VaultRow.owner == owner))

    def release(self, turn: Turn) -> None:
        """Forget what was held for the turn alone."""
        self._count -= len(self._held.pop(turn.id, ()))

    def _require_room(self, known: dict[str, str], values: Collection[Value]) -> None:
        new = set(values).difference((kind_of(token), value) for token, value in known.items())
        if len(known) + len(new) > self._most:
            raise VaultFull()

    def _held_for(self, turn: Turn) -> dict[str, str]:
        held = self._held.setdefault(turn.id, {})
        self._held.move_to_end(turn.id)
        return held

    def _forget_oldest(self) -> None:
        while len(self._held) > HELD_TURNS or (self._count > HELD_VALUES and len(self._held) > 1):
            _, oldest = self._held.popitem(last=False)
            self._count -= len(oldest)

    async def _add(self, turn: Turn, conversation: UUID, values: Collection[Value]) -> dict[str, str]:
        key = await self._keys.of(turn.tenant, turn.principal.pseudonym)
        async with self._db.work(turn) as work:
            # One at a time in a conversation: two turns must not give one number to two values.
            await work.session.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"vault {conversation}"}
            )
            rows = (await work.session.scalars(_rows(turn, conversation))).all()
            own = [row for row in rows if row.owner == turn.principal.id and row.kid == key.kid]
            known = {
                row.token: key.open_bytes(row.sealed, owner=str(conversation), field=row.token).decode(
                    "utf-8", "surrogatepass"
                )
                for row in own
            }
            self._require_room(known, values)
            numbered = _number(dict(known), values, taken={row.token for row in rows})
            for (_, value), token in numbered.items():
                if token not in known:
                    known[token] = value
                    sealed = key.seal_bytes(
                        value.encode("utf-8", "surrogatepass"), owner=str(conversation), field=token
                    )
                    work.session.add(
                        VaultRow(
                            tenant=turn.tenant,
                            conversation=conversation,
                            token=token,
                            owner=turn.principal.id,
                            kid=key.kid,
                            sealed=sealed,
                        )
                    )
        return known


def _rows(turn: Turn, conversation: UUID) -> Select[VaultRow]:
    return select(VaultRow).where(VaultRow.tenant == turn.tenant, VaultRow.conversation == conversation)


def kind_of(token: str) -> str:
    return token[1:-1].rpartition("_")[0]


def _missing(known: dict[str, str], values: Collection[Value]) -> bool:
    return not {(kind_of(token), value) for token, value in known.items()}.issuperset(values)


def _number(known: dict[str, str], values: Collection[Value], *, taken: Collection[str] = ()) -> dict[Value, str]:
    """The token of each value; new ones are numbered next and put into `known`."""
    by_value = {(kind_of(token), value): token for token, value in known.items()}
    last: dict[str, int] = {}
    for token in (*known, *taken):
        kind, _, number = token[1:-1].rpartition("_")
        last[kind] = max(last.get(kind, 0), int(number))
    for kind, value in values:
        if (kind, value) not in by_value:
            last[kind] = last.get(kind, 0) + 1
            token = f"<{kind}_{last[kind]}>"
            known[token] = value
            by_value[kind, value] = token
    return {value: by_value[value] for value in values}
