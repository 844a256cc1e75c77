"""Capability tokens: what a box or a tool of one turn may do, and nothing more; whoever holds one can only narrow it.

`c1.<kid>.<b64url(id)>.<b64url(caveat)>….<b64url(tag)>` (identity.md, "Cap token"): a chain of HMACs, so a caveat can be
added by anyone and taken away by nobody.
"""

import base64
import binascii
import hmac
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from aibox.core.connections import LOST, Connections
from aibox.core.db import Database
from aibox.core.errors import StateUnavailable
from aibox.core.events import canonical
from aibox.core.keyring import Ring
from aibox.core.turn import Turn
from aibox.identity import Cap, CapArgsMismatch, CapExpired, CapInvalid, CapMismatch, CapReplayed, CapUse
from aibox.identity.models import SpentUseRow
from aibox.stores import Cache

DOMAIN = b"aibox-cap/v1\n"
MAX_CAVEATS, MAX_TOKEN, MAX_LIFE = 16, 4096, 3600
ONCE = ("tenant", "turn", "holder", "args")
"""Kinds that have one value: nothing narrows them, so they stand once."""
LISTS = ("tools", "models", "hosts")
NUMBERS = ("exp", "uses", "budget")
ALWAYS = frozenset({"tenant", "turn", "holder", "exp"})


class CapTokens:
    """Mints, narrows and checks capability tokens."""

    def __init__(
        self,
        ring: Ring,
        db: Database,
        connections: Connections,
        cache: Cache,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ring = ring
        self._db = db
        self._connections = connections
        self._cache = cache
        self._clock = clock

    def mint(self, turn: Turn, *, holder: str, seconds: int, **limits: Any) -> str:
        """A token of `turn` for `holder`. `limits`: `tools`, `models`, `hosts` (lists), `args` (a digest), `budget`
        (micro-dollars) and `uses` (numbers)."""
        kid, key = self._ring.current
        token_id = os.urandom(16)
        caveats = {
            "tenant": str(turn.tenant),
            "turn": str(turn.id),
            "holder": holder,
            "exp": int(self._clock()) + min(seconds, MAX_LIFE),
            **{kind: list(value) if isinstance(value, tuple) else value for kind, value in limits.items()},
        }
        root = hmac.digest(key, DOMAIN + kid.encode() + b"." + token_id, "sha256")
        return attenuate(f"c1.{kid}.{_b64(token_id)}.{_b64(root)}", **caveats)

    async def check(self, token: str, use: CapUse) -> Cap:
        """What the token allows, when it allows `use`; a counted use is spent.

        Raises `CapInvalid`, `CapMismatch`, `CapExpired`, `CapArgsMismatch` or `CapReplayed`, and `StateUnavailable`
        when nobody can say whether the turn is open or the use was spent.
        """
        token_id, caveats = self._verified(token)
        cap = _narrowed(caveats)
        if (cap.tenant, cap.turn, cap.holder) != (use.tenant, use.turn, use.holder):
            raise CapMismatch()
        if cap.exp <= self._clock() or not await self._is_open(cap):
            raise CapExpired()
        for allowed, wanted in ((cap.tools, use.tool), (cap.models, use.model), (cap.hosts, use.host)):
            if wanted is not None and allowed is not None and wanted not in allowed:
                raise CapMismatch()
        if cap.args is not None and not hmac.compare_digest(cap.args.encode(), (use.args or "").encode()):
            raise CapArgsMismatch()
        if cap.uses is not None:
            await self._spend(use.by, token_id, cap.uses)
        return cap

    def _verified(self, token: str) -> tuple[bytes, list[tuple[str, Any]]]:
        """(id, caveats in order) of a token whose chain is whole. Raises `CapInvalid`."""
        parts = token.split(".")
        if len(token) > MAX_TOKEN or not 4 <= len(parts) <= MAX_CAVEATS + 4 or parts[0] != "c1":
            raise CapInvalid()
        kid = parts[1]
        key = self._ring.get(kid)
        try:
            token_id, *caveats, sent = (_unb64(part) for part in parts[2:])
        except ValueError:
            raise CapInvalid() from None
        tag = hmac.digest(key or bytes(32), DOMAIN + kid.encode("utf-8", "replace") + b"." + token_id, "sha256")
        for caveat in caveats:
            tag = hmac.digest(tag, caveat, "sha256")
        if not hmac.compare_digest(tag, sent) or key is None or len(token_id) != 16:
            raise CapInvalid()
        return token_id, [_caveat(caveat) for caveat in caveats]

    async def _is_open(self, cap: Cap) -> bool:
        try:
            state: str | None = await self._connections.system.fetchval(
                "SELECT state FROM core.turn WHERE tenant = $1 AND turn = $2", cap.tenant, cap.turn
            )
        except LOST as error:
            raise StateUnavailable() from error
        return state == "open"

    async def _spend(self, turn: Turn, token_id: bytes, uses: int) -> None:
        """Spend the next use: a row that only one can insert, and the cache's word; where they differ it refuses."""
        while True:
            try:
                async with self._db.work(turn) as work:
                    query = select(func.count()).where(SpentUseRow.tenant == turn.tenant, SpentUseRow.token == token_id)
                    number = await work.session.scalar(query) or 0
                    if number >= uses:
                        raise CapReplayed()
                    work.session.add(SpentUseRow(tenant=turn.tenant, token=token_id, use=number, turn=turn.id))
                    await work.session.flush()
                    if not await self._cache.add(f"cap:{token_id.hex()}:{number}", b"1", ttl=MAX_LIFE):
                        raise CapReplayed()
            except IntegrityError:
                continue  # another took this use meanwhile; there may be a next one
            return


def attenuate(token: str, **caveats: Any) -> str:
    """The token with further caveats: whoever holds one may narrow it, without a key. Raises `CapInvalid`."""
    *head, sent = token.split(".")
    try:
        tag = _unb64(sent)
    except ValueError:
        raise CapInvalid() from None
    for kind, value in caveats.items():
        caveat = canonical({"k": kind, "v": value})
        head.append(_b64(caveat))
        tag = hmac.digest(tag, caveat, "sha256")
    return ".".join((*head, _b64(tag)))


def _caveat(data: bytes) -> tuple[str, Any]:
    try:
        caveat = msgspec.json.decode(data, type=_Caveat)
    except msgspec.DecodeError:
        raise CapInvalid() from None
    return caveat.k, caveat.v


class _Caveat(Struct, frozen=True, forbid_unknown_fields=True):
    k: str
    v: str | int | list[str]


def _narrowed(caveats: Sequence[tuple[str, Any]]) -> Cap:
    """What the caveats leave together. Raises `CapInvalid` for an unknown kind, a wrong value, or a repeated kind that
    does not narrow strictly (P06)."""
    left: dict[str, Any] = {}
    for kind, value in caveats:
        wanted = str if kind in ONCE else list if kind in LISTS else int
        if kind not in (*ONCE, *LISTS, *NUMBERS) or type(value) is not wanted:
            raise CapInvalid()
        if kind in left and not _is_narrower(kind, value, left[kind]):
            raise CapInvalid()
        left[kind] = value
    if not left.keys() >= ALWAYS:
        raise CapInvalid()
    try:
        return msgspec.convert(left, Cap)
    except msgspec.ValidationError:
        raise CapInvalid() from None


def _is_narrower(kind: str, value: Any, before: Any) -> bool:
    if kind in ONCE:
        return False
    if kind in LISTS:
        return set(value) < set(before)
    return bool(value < before)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    """Raises ValueError for anything but the one spelling."""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None
    if _b64(data) != text:
        raise ValueError("not the canonical form")
    return data
