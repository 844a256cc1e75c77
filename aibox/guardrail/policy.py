"""What is scanned and masked for a turn: the installation's profile, changed by its tenant's and its key's policy."""

import asyncio
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
from aibox.guardrail.rules import fold

CACHE_SECONDS = 2.0
CACHED = 10_000

SCANNED = frozenset({"prompt_injection", "toxicity", "secrets"})
"""The scanners that are on; under `strict` all are."""

MASKED = {
    "permissive": frozenset[str](),
    "balanced": frozenset({"EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "NATIONAL_ID"}),
    "strict": frozenset(MASKS),
}
"""What each profile masks before any model."""

MASKED_OUTSIDE = NAMED | {"STREET_ADDRESS"}
"""What is masked besides before a model outside the house."""


Place = tuple[UUID, str, str]
"""A tenant, and the agent or key of it whose policy it is."""


class Rules(Struct, frozen=True):
    """A policy worked out. `blocks`: what a scanner finds blocks; otherwise it is reported only.

    `banned` are the topics, folded; `token_limit` is for each text. Both matter where their scanner is on.
    """

    profile: Profile
    scanners: frozenset[str]
    masks: frozenset[str]
    blocks: bool
    banned: frozenset[str] = frozenset()
    token_limit: int = 0
    reads_images: bool = False

    @property
    def refuses_unscanned(self) -> bool:
        """Whether what no scanner can look at may not pass."""
        return self.profile == "strict"

    @property
    def is_off(self) -> bool:
        return not self.scanners and not self.masks

    def only(self, scanner: str) -> "Rules":
        """These with no other scanner than this one."""
        return msgspec.structs.replace(self, scanners=self.scanners & {scanner})

    def without(self, scanner: str) -> "Rules":
        return msgspec.structs.replace(self, scanners=self.scanners - {scanner})


class Policies:
    """Reads and writes policies; a read is a few seconds old at most."""

    def __init__(self, settings: Settings, db: Database) -> None:
        self._settings = settings
        self._db = db
        self._cache: dict[Place, tuple[float, Policy]] = {}
        self._reading: dict[Place, asyncio.Lock] = {}

    async def rules(self, turn: Turn, *, external: bool = False, profile: Profile | None = None) -> Rules:
        """What holds for `turn`; with `profile`, what would under that one.

        Raises `StateUnavailable` when the policy cannot be read: then nothing passes.
        """
        stored = [await self.get(turn)]
        if turn.agent:
            stored.append(await self.get(turn, agent_id=turn.agent))
        if turn.principal.key_id:
            stored.append(await self.get(turn, key_id=turn.principal.key_id))
        return resolve(self._settings, stored, external=external, under=profile)

    async def get(self, turn: Turn, *, agent_id: str = "", key_id: str = "") -> Policy:
        """The stored policy, an empty one when there is none."""
        place = (turn.tenant, agent_id, key_id)
        known = self._known(place)
        if known is not None:
            return known
        # One of many requests at once reads it for all.
        async with self._reading.setdefault(place, asyncio.Lock()):
            return self._known(place) or await self._read(turn, place)

    def _known(self, place: Place) -> Policy | None:
        known = self._cache.get(place)
        return known[1] if known is not None and time.monotonic() - known[0] < CACHE_SECONDS else None

    async def _read(self, turn: Turn, place: Place) -> Policy:
        tenant, agent_id, key_id = place
        async with self._db.read(turn) as session:
            row = await session.scalar(
                select(PolicyRow.policy).where(
                    PolicyRow.tenant == tenant, PolicyRow.agent_id == agent_id, PolicyRow.key_id == key_id
                )
            )
        policy = msgspec.convert(row, Policy) if row is not None else Policy()
        if len(self._cache) >= CACHED:
            self._cache.clear()
            self._reading.clear()
        self._cache[place] = (time.monotonic(), policy)
        return policy

    async def set(self, turn: Turn, policy: Policy, *, agent_id: str = "", key_id: str = "") -> None:
        """Replace the policy, and record it. Raises `ValidationFailed`."""
        _require_known("scanners", policy.scanners, SCANNERS)
        _require_known("masks", policy.masks, MASKS)
        if agent_id and key_id:
            raise ValidationFailed("A policy is of an agent or of a key, not of both.")
        place = {"tenant": turn.tenant, "agent_id": agent_id, "key_id": key_id}
        values = {"policy": msgspec.to_builtins(policy)}
        async with self._db.work(turn) as work:
            await work.session.execute(
                insert(PolicyRow)
                .values(place | values)
                .on_conflict_do_update(index_elements=["tenant", "agent_id", "key_id"], set_=values)
            )
            work.record(
                PolicyUpdated(
                    actor=f"user:{turn.principal.pseudonym}",
                    target=f"agent:{agent_id}" if agent_id else f"key:{key_id}" if key_id else "tenant",
                    profile=policy.profile or "",
                    scanners_off=_off(policy.scanners),
                    masks_off=_off(policy.masks),
                )
            )
        self._cache.pop((turn.tenant, agent_id, key_id), None)


def resolve(
    settings: Settings, stored: Collection[Policy], *, external: bool = False, under: Profile | None = None
) -> Rules:
    """The installation's profile, or the one given, changed by each stored policy in turn."""
    profile = settings.profile
    for policy in stored:
        profile = policy.profile or profile
    profile = under or profile
    scanners = frozenset(SCANNERS) if profile == "strict" else SCANNED
    reads_images = profile == "strict"
    masks = MASKED[profile]
    if external and profile != "permissive":
        masks |= MASKED_OUTSIDE
    for policy in stored:
        scanners = _switch(scanners, policy.scanners, SCANNERS)
        masks = _switch(masks, policy.masks, MASKS)
        reads_images = reads_images if policy.scan_images is None else policy.scan_images
    return Rules(
        profile=profile,
        scanners=scanners,
        masks=masks,
        blocks=profile != "permissive",
        banned=frozenset(fold(topic) for policy in stored for topic in policy.topics),
        token_limit=settings.token_limit,
        reads_images=reads_images,
    )


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
