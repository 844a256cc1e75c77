"""What is scanned and masked for a turn: the installation's profile, changed by its tenant's and its key's policy."""

import time
from collections.abc import Collection, Mapping
from uuid import UUID

import msgspec
from msgspec import Struct
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from aibox.core.db import Database
from aibox.core.errors import ValidationFailed
from aibox.core.turn import Turn
from aibox.guardrail import MASKS, SCANNERS, Policy, PolicyUpdated, Profile, Settings
from aibox.guardrail.engine import NAMED
from aibox.guardrail.models import PolicyRow

CACHE_SECONDS = 2.0
CACHED = 10_000

MASKED = {
    "permissive": frozenset[str](),
    "balanced": frozenset({"EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN"}),
    "strict": frozenset(MASKS),
}
"""What each profile masks before any model."""


class Rules(Struct, frozen=True):
    """A policy worked out. `blocks`: what a scanner finds blocks; otherwise it is reported only."""

    profile: Profile
    scanners: frozenset[str]
    masks: frozenset[str]
    blocks: bool

    @property
    def is_off(self) -> bool:
        return not self.scanners and not self.masks

    def without(self, scanner: str) -> "Rules":
        return msgspec.structs.replace(self, scanners=self.scanners - {scanner})


class Policies:
    """Reads and writes policies; a read is a few seconds old at most."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._profile = settings.profile
        self._db = db
        self._cache: dict[tuple[UUID, str], tuple[float, Policy]] = {}

    async def rules(self, turn: Turn, *, external: bool = False) -> Rules:
        """What holds for `turn`. Raises `StateUnavailable` when the policy cannot be read: then nothing passes."""
        stored = [await self.get(turn, "")]
        if turn.principal.key_id:
            stored.append(await self.get(turn, turn.principal.key_id))
        return resolve(self._profile, stored, external=external)

    async def get(self, turn: Turn, key_id: str) -> Policy:
        """The stored policy, an empty one when there is none."""
        known = self._cache.get((turn.tenant, key_id))
        if known is not None and time.monotonic() - known[0] < CACHE_SECONDS:
            return known[1]
        async with self._db.read(turn) as session:
            row = await session.scalar(
                select(PolicyRow.policy).where(PolicyRow.tenant == turn.tenant, PolicyRow.key_id == key_id)
            )
        policy = msgspec.convert(row, Policy) if row is not None else Policy()
        if len(self._cache) >= CACHED:
            self._cache.clear()
        self._cache[turn.tenant, key_id] = (time.monotonic(), policy)
        return policy

    async def set(self, turn: Turn, key_id: str, policy: Policy) -> None:
        """Replace the policy, and record it. Raises `ValidationFailed`."""
        _require_known("scanners", policy.scanners, SCANNERS)
        _require_known("masks", policy.masks, MASKS)
        values = {"tenant": turn.tenant, "key_id": key_id, "policy": msgspec.to_builtins(policy)}
        async with self._db.work(turn) as work:
            await work.session.execute(
                insert(PolicyRow)
                .values(values)
                .on_conflict_do_update(index_elements=["tenant", "key_id"], set_={"policy": values["policy"]})
            )
            work.record(
                PolicyUpdated(
                    actor=f"user:{turn.principal.pseudonym}",
                    target=f"key:{key_id}" if key_id else "tenant",
                    profile=policy.profile or "",
                    scanners_off=_off(policy.scanners),
                    masks_off=_off(policy.masks),
                )
            )
        self._cache.pop((turn.tenant, key_id), None)


def resolve(profile: Profile, stored: Collection[Policy], *, external: bool = False) -> Rules:
    """`profile` changed by each stored policy in turn. `external` adds names and places to what is masked."""
    for policy in stored:
        profile = policy.profile or profile
    scanners = frozenset(SCANNERS)
    masks = MASKED[profile]
    if external and profile != "permissive":
        masks |= NAMED
    for policy in stored:
        scanners = _switch(scanners, policy.scanners, SCANNERS)
        masks = _switch(masks, policy.masks, MASKS)
    return Rules(profile=profile, scanners=scanners, masks=masks, blocks=profile != "permissive")


def _switch(names: frozenset[str], switches: Mapping[str, bool], known: Collection[str]) -> frozenset[str]:
    # `*` first, so that `{"*": false, "secrets": true}` leaves the one.
    for name, on in sorted(switches.items(), key=lambda item: item[0] != "*"):
        named = frozenset(known) if name == "*" else frozenset({name})
        names = names | named if on else names - named
    return names


def _require_known(field: str, switches: Mapping[str, bool], known: Collection[str]) -> None:
    unknown = [name for name in switches if name != "*" and name not in known]
    if unknown:
        raise ValidationFailed(
            fields=[{"field": f"{field}.{name}", "error": f"one of {', '.join(known)} or *"} for name in unknown]
        )


def _off(switches: Mapping[str, bool]) -> tuple[str, ...]:
    return tuple(sorted(name for name, on in switches.items() if not on))
