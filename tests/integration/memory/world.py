"""Many people with look-alike memories, random operations on them, and what each may see: for the property tests."""

import contextlib
import hashlib
import math
import random
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from msgspec import Struct, structs

from aibox.core.errors import NotFound
from aibox.core.turn import Permissions, Principal, Turn, begin, uuid7
from aibox.memory import Memory, Scope, Settings, Visibility
from aibox.memory.index import storage_user
from aibox.memory.models import MemoryRow
from aibox.memory.service import MemoryService
from aibox.observability import Usage
from aibox.router import Answer, ModelCall, ModelStream
from aibox.stores import Point, VectorsSettings
from aibox.stores.vectors import open_vectors
from tests.conftest import Kernel

SIZE = 48
AGENTS = ("", "a1", "a10", "A1", "*", "a_", "a%")
"""Ids that a careless filter takes for each other, or for everything."""
SUBJECTS = ("launch code", "home town", "project falcon", "favourite tea", "passport", "birthday", "salary", "dog")
SHARED: tuple[Visibility, ...] = ("private", "private", "private", "team", "org")


class WordsRouter:
    """A router whose vectors are hashed words, so that equal words are near; its model answers what it is given."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.asked: list[bytes] = []

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        return [vector_of(text) for text in texts]

    async def complete(self, turn: Turn, call: ModelCall) -> Answer:
        self.asked.append(call.body)
        return Answer(
            data=b"{}",
            text=self.answers.pop(0),
            finish_reason="stop",
            usage=Usage(),
            provider="stub",
            model="stub",
            attempts=1,
        )

    def stream(self, turn: Turn, call: ModelCall) -> AbstractAsyncContextManager[ModelStream]:
        raise NotImplementedError

    async def is_external(self, turn: Turn, model: str) -> bool:
        return False

    async def models(self, turn: Turn) -> list[dict[str, Any]]:
        return []

    async def routes(self, turn: Turn) -> list[dict[str, Any]]:
        return []


def vector_of(text: str) -> list[float]:
    """A unit vector of the text's words."""
    vector = [0.0] * SIZE
    for word in text.casefold().split():
        vector[hashlib.blake2b(word.encode(), digest_size=1).digest()[0] % SIZE] += 1.0
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / length for x in vector]


async def as_written(turn: Turn, text: str) -> str:
    """In the guardrail's place, where a test is not about it."""
    return text


@contextlib.asynccontextmanager
async def memories(kernel: Kernel, router: WordsRouter, **settings: Any) -> AsyncGenerator[MemoryService]:
    """A running service on the embedded vectors."""
    vectors = open_vectors(VectorsSettings(), kernel.db, kernel.connections)
    service = MemoryService(
        Settings(**settings),
        kernel.folder / "mem0",
        db=kernel.db,
        connections=kernel.connections,
        log=kernel.log,
        vectors=vectors,
        router=router,
        scrub=as_written,
    )
    async with vectors.run(), service.run(kernel.tasks):
        yield service


class Known(Struct, frozen=True):
    """What a memory is, as the test remembers it."""

    tenant: UUID
    user: UUID
    scope: Scope
    visibility: Visibility
    content: str


class World:
    """People in two tenants, and a book of every memory that exists."""

    def __init__(self, service: MemoryService, chance: random.Random, people: int) -> None:
        self.service = service
        self.known: dict[UUID, Known] = {}
        self._chance = chance
        tenants = [uuid4(), uuid4()]
        self.people = [_person(chance, chance.choice(tenants)) for _ in range(people)]

    async def fill(self, turn: Turn, count: int) -> None:
        """Give a person memories, past the service: rows and points as it would write them, many at once."""
        now = datetime.now(UTC)
        made = {uuid7(): self._known_of(turn) for _ in range(count)}
        rows = [
            MemoryRow(
                tenant=turn.tenant,
                id=id,
                user_id=turn.principal.id,
                content=known.content,
                digest=hashlib.sha256(known.content.encode()).digest(),
                memory_type="user",
                kind="fact",
                visibility=known.visibility,
                created_at=now,
                updated_at=now,
                is_indexed=True,
                agent_id=known.scope.agent_id,
                session_id="",
                consolidated_at=None,
            )
            for id, known in made.items()
        ]
        async with self.service._db.work(turn) as work:
            work.session.add_all(rows)
        points = [
            Point(
                id=str(row.id),
                vector=vector_of(row.content),
                text=row.content,
                payload={
                    "user_id": storage_user(turn.tenant, row.user_id),
                    "agent": row.agent_id,
                    "session": "",
                    "visibility": row.visibility,
                },
            )
            for row in rows
        ]
        await self.service._index._vectors.put(turn, self.service._index.collection, points)
        self.known |= made

    def _known_of(self, turn: Turn) -> Known:
        content = f"{self._content()} {self._chance.randrange(10**9)}"
        return Known(turn.tenant, turn.principal.id, self._scope(), self._chance.choice(SHARED), content)

    async def step(self) -> None:
        """One random operation, and a look at what it shows. Raises AssertionError when it is not the reader's."""
        turn = self._turn()
        match self._chance.choice(("store", "store", "search", "search", "recall", "recall", "list", "get", "change")):
            case "store":
                await self._store(turn)
            case "search":
                scope = self._scope()
                found = await self.service.search(turn, self._content(), limit=10, scope=scope)
                self.require_readable(turn, found, scope=scope)
            case "recall":
                found = list((await self.service.recall(turn, self._content())).memories)
                self.require_readable(turn, found, is_recall=True)
            case "list":
                scope = self._scope()
                found = list(await self.service.list(turn, limit=50, scope=scope))
                self.require_readable(turn, found, scope=scope)
                assert all(memory.user_id == turn.principal.id for memory in found)
            case "get":
                await self._get(turn)
            case _:
                await self._change(turn)

    def require_readable(
        self, turn: Turn, found: Iterable[Memory], *, scope: Scope | None = None, is_recall: bool = False
    ) -> None:
        for memory in found:
            known = self.known[memory.id]
            assert self._may_read(turn, known), f"{memory} is not for {turn.principal}"
            assert (memory.content, memory.user_id) == (known.content, known.user)
            if is_recall:
                assert known.scope.agent_id in ("", turn.agent)
                assert known.scope.session_id in ("", str(turn.conversation))
            if scope is not None and scope.agent_id:
                assert known.scope.agent_id == scope.agent_id

    async def _store(self, turn: Turn) -> None:
        content = self._content()
        visibility = self._chance.choice(SHARED)
        scope = self._scope()
        memory = await self.service.store(turn, content, visibility=visibility, scope=scope)
        self.known.setdefault(
            memory.id, Known(turn.tenant, turn.principal.id, scope, memory.visibility, memory.content)
        )

    async def _get(self, turn: Turn) -> None:
        if not self.known:
            return
        memory_id = self._chance.choice(list(self.known))
        try:
            await self.service.get(turn, memory_id)
            is_shown = True
        except NotFound:
            is_shown = False
        assert is_shown == self._may_read(turn, self.known[memory_id])

    async def _change(self, turn: Turn) -> None:
        if not self.known:
            return
        memory_id = self._chance.choice(list(self.known))
        known = self.known[memory_id]
        content = f"{self._content()} {uuid4().hex}"
        try:
            if self._chance.random() < 0.5:
                await self.service.delete(turn, memory_id)
                del self.known[memory_id]
            else:
                await self.service.update(turn, memory_id, content)
                self.known[memory_id] = structs.replace(known, content=content)
            is_done = True
        except NotFound:
            is_done = False
        assert is_done == (known.user == turn.principal.id)

    def _may_read(self, turn: Turn, known: Known) -> bool:
        is_shared = known.visibility != "private" and turn.principal.may(f"memory.read_{known.visibility}")
        return known.tenant == turn.tenant and (known.user == turn.principal.id or is_shared)

    def _turn(self) -> Turn:
        return structs.replace(
            begin(self._chance.choice(self.people)), agent=self._chance.choice(AGENTS), conversation=uuid4()
        )

    def _scope(self) -> Scope:
        return Scope(agent_id=self._chance.choice(AGENTS) if self._chance.random() < 0.4 else "")

    def _content(self) -> str:
        return f"my {self._chance.choice(SUBJECTS)} is {self._chance.randrange(20)}"


def _person(chance: random.Random, tenant: UUID) -> Principal:
    granted = {"share", *chance.sample(("read_team", "read_org"), chance.randint(0, 2))}
    return Principal(
        kind="user",
        tenant=tenant,
        id=uuid4(),
        pseudonym=f"p-{uuid4()}",
        permissions=Permissions(memory=frozenset(granted)),
    )
