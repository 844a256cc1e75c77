"""A knowledge service on a real database, files and index, with a quick embedder made of words."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import numpy as np
from msgspec import Struct

from aibox.core.http import Outgoing
from aibox.core.http import Settings as HttpSettings
from aibox.core.jobs import Jobs
from aibox.core.turn import Permissions, Principal, Turn, begin
from aibox.identity.roles import rights_of
from aibox.knowledge import Item, Rights, Settings, Upload
from aibox.knowledge.service import KnowledgeService
from aibox.knowledge.wiki import WikiService
from aibox.observability import Usage
from aibox.router import Answer, BackendUnavailable, ModelCall, ModelStream
from aibox.stores import Objects, Vectors
from aibox.stores.objects.files import FileObjects
from aibox.stores.vectors import words
from tests.conftest import Kernel


class WordRouter:
    """A router whose embeddings are the words of a text, hashed into as many numbers as its model says (`words-64`).

    `contexts`: what the role `knowledge` writes, None for an installation without such a model.
    """

    def __init__(self) -> None:
        self.model = "house/words-64"
        self.is_down = False
        self.gone: set[str] = set()
        self.contexts: str | None = None
        self.fails_to_write = False
        self.meanwhile: Callable[[str], Awaitable[None]] | None = None
        """Awaited before texts of documents are embedded, with the model's name: where a test steps in."""
        self.relevance: Callable[[str, str], float] | None = None
        """What the role `rerank` says of a question and a text, None where nobody serves it."""
        self.before_reranking: Callable[[], Awaitable[None]] | None = None
        self.reranked: list[str] = []
        self.asked: list[str] = []
        self.prompts: list[str] = []

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        name = self.model if model == "embedding" else model
        if self.is_down or name in self.gone:
            raise BackendUnavailable()
        if self.meanwhile is not None and "\n" in texts[0]:
            await self.meanwhile(name)
        self.asked += texts
        return [_vector(text, int(name.rpartition("-")[2])) for text in texts]

    async def rerank(self, turn: Turn, question: str, texts: Sequence[str], *, model: str = "rerank") -> list[float]:
        assert self.relevance is not None
        if self.before_reranking is not None:
            await self.before_reranking()
        self.reranked += texts
        return [self.relevance(question, text) for text in texts]

    async def can_rerank(self, turn: Turn, model: str = "rerank") -> bool:
        return self.relevance is not None

    def stream(self, turn: Turn, call: ModelCall) -> AbstractAsyncContextManager[ModelStream]:
        raise NotImplementedError

    async def complete(self, turn: Turn, call: ModelCall) -> Answer:
        self.prompts.append(call.body.decode())
        if self.fails_to_write or self.contexts is None:
            raise BackendUnavailable()
        return Answer(
            data=b"{}",
            text=self.contexts,
            finish_reason="stop",
            usage=Usage(input_tokens=1, output_tokens=1),
            provider="house",
            model="writer",
            attempts=1,
        )

    async def is_external(self, turn: Turn, model: str) -> bool:
        return False

    async def models(self, turn: Turn) -> list[dict[str, Any]]:
        roles = [] if self.contexts is None else ["knowledge"]
        return [{"id": "writer", "aibox": {"roles": roles, "demonstration": False}}]

    async def routes(self, turn: Turn) -> list[dict[str, Any]]:
        return [{"id": "embedding", "models": [{"id": self.model, "healthy": True}]}]


def _vector(text: str, size: int) -> list[float]:
    vector = np.full(size, 0.01)
    for word in words.query(text):
        digest = hashlib.blake2b(word.to_bytes(4), digest_size=8).digest()
        vector[int.from_bytes(digest) % size] += 1.0
    return [float(number) for number in vector / np.linalg.norm(vector)]


class House(Struct, frozen=True):
    """The service with what stands around it."""

    kernel: Kernel
    knowledge: KnowledgeService
    wiki: WikiService
    jobs: Jobs
    router: WordRouter
    vectors: Vectors
    objects: Objects

    async def read(self, turn: Turn, text: str, *, title: str = "Notes", **options: Any) -> Item:
        """Take text in and let it be read."""
        added = await self.knowledge.add_text(turn, title=title, content=text, **options)
        await self.jobs.drain()
        return await self.knowledge.item(turn, added.item.id)

    async def upload(
        self, turn: Turn, name: str, data: bytes, *, title: str = "", rights: Rights | None = None
    ) -> Item:
        """Take a file in and let it be read."""
        path = self.kernel.folder / f"upload-{uuid4()}"
        path.write_bytes(data)
        added = await self.knowledge.add(turn, Upload(path=path, name=name, title=title, rights=rights or Rights()))
        path.unlink()
        await self.jobs.drain()
        return await self.knowledge.item(turn, added.item.id)

    async def found(self, turn: Turn, query: str, **options: Any) -> set[str]:
        """The titles that a search finds."""
        return {found.title for found in (await self.knowledge.search(again(turn), query, **options)).found}

    async def events(self, turn: Turn, kind: str) -> list[dict[str, Any]]:
        """The bodies of the turn's events of this kind."""
        rows = await self.kernel.connections.system.fetch(
            "SELECT data FROM core.event WHERE turn = $1 AND type = $2 ORDER BY seq", turn.id, kind
        )
        return [msgspec.json.decode(row["data"])["body"] for row in rows]

    async def hurry(self) -> None:
        """Let the pause of every waiting job be over, and do them."""
        await self.kernel.connections.system.execute("UPDATE core.job SET run_at = now() WHERE state = 'pending'")
        await self.jobs.drain()


@contextlib.asynccontextmanager
async def house(kernel: Kernel, vectors: Vectors, router: WordRouter, **settings: Any) -> AsyncGenerator[House]:
    """The service on `vectors`; its jobs are done when a test drains them."""
    objects = FileObjects(kernel.folder / "objects")
    jobs = Jobs(kernel.connections, kernel.log)
    http = Outgoing(HttpSettings(internal_hosts=("127.0.0.1",)))
    knowledge = KnowledgeService(
        Settings(**{"parser_memory_mb": 512, **settings}),
        kernel.folder / "reading",
        db=kernel.db,
        connections=kernel.connections,
        log=kernel.log,
        objects=objects,
        vectors=vectors,
        router=router,
        reranker=router,
        http=http,
        jobs=jobs,
    )
    wiki = WikiService(knowledge, db=kernel.db, objects=objects, jobs=jobs)
    async with objects.run(), http.run(), vectors.run():
        yield House(kernel, knowledge, wiki, jobs, router, vectors, objects)


def person(tenant: UUID, *, roles: tuple[str, ...] = ("member",), scopes: frozenset[str] | None = None) -> Turn:
    """A turn of a new person with these roles."""
    permissions: Permissions = rights_of(roles).permissions
    return begin(
        Principal(
            kind="user",
            tenant=tenant,
            id=uuid4(),
            pseudonym=f"p-{uuid4()}",
            roles=roles,
            permissions=permissions,
            scopes=scopes,
        )
    )


def again(turn: Turn) -> Turn:
    """Another turn of the same person."""
    return begin(turn.principal)


async def settle(tasks: int = 5) -> None:
    """Let what was begun come to its first wait."""
    for _ in range(tasks):
        await asyncio.sleep(0)


def written(folder: Path) -> list[Path]:
    """All files in a folder, at any depth."""
    return [path for path in folder.rglob("*") if path.is_file()]
