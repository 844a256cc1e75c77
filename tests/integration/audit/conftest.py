"""A kernel with the audit module on top, and turns to seal."""

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import pytest
from msgspec import Struct

from aibox.audit import ExternalAct, Settings
from aibox.audit.service import Audit
from aibox.audit.trail import Trail
from aibox.core.errors import NotFound
from aibox.core.events import TurnFailed, text_artifact
from aibox.core.keyring import Ring
from aibox.core.turn import Permissions, Principal, Turn, begin, uuid7
from aibox.stores.objects.files import FileObjects
from tests.conftest import Kernel

TENANT = UUID("00000000-0000-7000-8000-0000000000a1")
OTHER_TENANT = UUID("00000000-0000-7000-8000-0000000000b2")


def person(pseudonym: str, tenant: UUID = TENANT, *admin: str) -> Principal:
    return Principal(
        kind="user",
        tenant=tenant,
        id=uuid7(),
        pseudonym=pseudonym,
        permissions=Permissions(admin=frozenset(admin)),
    )


ANN = person("p-ann")
BOB = person("p-bob")
AUDITOR = person("p-auditor", TENANT, "view_audit_log")
STRANGER = person("p-ann", OTHER_TENANT, "view_audit_log")


class KnownPeople:
    """Ann, Bob and the auditor, as identity would know them."""

    async def user(self, turn: Turn, user_id: UUID) -> Principal:
        for one in (ANN, BOB, AUDITOR):
            if (one.id, one.tenant) == (user_id, turn.tenant):
                return one
        raise NotFound()

    async def recheck(self, turn: Turn) -> None:
        """None of them loses a right."""


class Bench(Struct, frozen=True):
    """A kernel, the objects it copies heads to, and the audit module, whose tasks a test may start."""

    kernel: Kernel
    objects: FileObjects
    audit: Audit

    @property
    def trail(self) -> Trail:
        return Trail(self.kernel.db, self.kernel.log, self.kernel.keys, self.audit.copies, KnownPeople())

    def replica(self, ring: Ring | None = None) -> Audit:
        """Another process's audit module on the same database and objects."""
        ring = ring or self.kernel.rings["audit"]
        return Audit(
            Settings(),
            self.kernel.connections,
            self.kernel.db,
            self.objects,
            ring,
            self.kernel.keys,
            host="aibox.test",
            build="0.1.0",
            policy="default@1",
        )

    async def ended(self, principal: Principal = ANN, *, outcome: str = "sealed", acts: int = 1) -> Turn:
        """A turn that did something and ended."""
        turn = begin(principal)
        for number in range(acts):
            await self.kernel.log.log(turn, TurnFailed(code=f"act_{number}"))
        await self.kernel.log.end(turn, outcome)
        return turn

    async def asked(self, principal: Principal = ANN, *, text: str = "Which supplier delivers by Friday?") -> Turn:
        """A turn that ended, with an artifact in its second event."""
        turn = begin(principal)
        act = ExternalAct(action="ask", resource_type="", resource_id="", result="", artifacts=(text_artifact(text),))
        await self.kernel.log.log(turn, act)
        await self.kernel.log.end(turn, "sealed")
        return turn

    async def many(self, count: int, principal: Principal = ANN) -> list[Turn]:
        return list(await asyncio.gather(*[self.ended(principal) for _ in range(count)]))


@pytest.fixture
async def bench(kernel: Kernel) -> AsyncGenerator[Bench]:
    objects = FileObjects(kernel.folder / "objects")
    audit = Audit(
        Settings(),
        kernel.connections,
        kernel.db,
        objects,
        kernel.rings["audit"],
        kernel.keys,
        host="aibox.test",
        build="0.1.0",
        policy="default@1",
    )
    async with objects.run():
        yield Bench(kernel, objects, audit)
