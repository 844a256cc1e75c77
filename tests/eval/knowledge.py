"""Knowledge: whether searches find what answers, and what reading and finding cost."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import asyncpg
import numpy as np
from msgspec import Struct

from aibox.core.turn import Turn
from aibox.knowledge import Rights
from aibox.knowledge.rights import Kept, marks, readers
from aibox.knowledge.search import CANDIDATES, reader_of
from aibox.router.embeddings import Embedder
from aibox.stores import Point
from tests.eval import Figure
from tests.eval._cranfield import Collection, ndcg, read
from tests.eval._house import BACKENDS, running
from tests.eval._kernel import postgres_cpu
from tests.integration.knowledge.house import House, WordRouter, again, person
from tests.unit.knowledge import papers

CHUNKS, OF_A_DOCUMENT = 100_000, 40
QUERIES, WARMING = 200, 100
PAGES, LINES = 50, 42


def measure(data: Path) -> Iterator[Figure]:
    """Cranfield is read from `data/cranfield`; everything else is made here, the same every time."""
    for backend in BACKENDS:
        yield asyncio.run(_cranfield(read(data / "cranfield"), backend))
    yield from asyncio.run(_ingest())
    yield from asyncio.run(_speed())


class LocalRouter(WordRouter):
    """The installation's own embedder in the role `embedding`; no model."""

    def __init__(self, embedder: Embedder) -> None:
        super().__init__()
        self.model = "local/all-minilm-l6-v2"
        self._embedder = embedder

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        vectors, _ = await self._embedder.embed(texts)
        return vectors


@contextlib.asynccontextmanager
async def _local(backend: str) -> AsyncGenerator[House]:
    embedder = Embedder()
    async with embedder.run(), running(backend, LocalRouter(embedder)) as one:
        yield one


async def _cranfield(collection: Collection, backend: str) -> Figure:
    """Every abstract goes the whole way: read, cut, embedded, found."""
    async with _local(backend) as one:
        turn = person(uuid4())
        for abstract in collection.abstracts:
            if abstract.text:
                title = abstract.title[:250] or "untitled"
                await one.knowledge.add_text(turn, title=f"{abstract.number} {title}", content=abstract.text)
        while await one.jobs.drain():
            pass
        scores = []
        for number, question in collection.questions.items():
            search = await one.knowledge.search(again(turn), question, limit=50)
            documents = dict.fromkeys(int(found.title.partition(" ")[0]) for found in search.found)
            scores.append(ndcg(list(documents), collection.relevant[number]))
    of = f"{len(scores)} questions to {len(collection.abstracts)} abstracts"
    return Figure(name=f"nDCG@10 on Cranfield, {backend}", value=sum(scores) / len(scores), bar=0.44, of=of)


async def _ingest() -> list[Figure]:
    """A PDF of fifty pages, and how long a question of a chat waits for its embedding meanwhile."""
    chance = random.Random(5)
    words = ["pump", "valve", "pressure", "warm", "seal", "pipe", "water", "heat", "loss", "rate", "check", "year"]
    lines = [
        [("Chapter", 18), *[(" ".join(chance.choices(words, k=11)) + ".", 10) for _ in range(LINES)]]
        for _ in range(PAGES)
    ]
    data = papers.pdf(lines)
    async with _local("pgvector") as one:
        turn = person(uuid4())
        await one.read(turn, "The embedder is loaded with this.")
        waited: list[float] = []
        longest = Held()
        watching = [asyncio.create_task(_ask(one, turn, waited)), asyncio.create_task(_loop_delay(longest))]
        begun = time.perf_counter()
        item = await one.upload(turn, "manual.pdf", data)
        seconds = time.perf_counter() - begun
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    of = f"{PAGES} pages, {item.chunks} passages"
    median = sorted(waited)[len(waited) // 2]
    return [
        Figure(name="a 50-page PDF from upload to found", value=seconds, bar=20, at_most=True, unit=" s", of=of),
        Figure(name="a search meanwhile, median", value=median, unit=" ms", of=f"{len(waited)} searches"),
        Figure(
            # What the loop's thread waited for a core is the machine's doing; for the interpreter's lock, ours.
            name="longest that the event loop was held by us",
            value=longest.by_us,
            bar=20,
            at_most=True,
            unit=" ms",
            of=f"{of}; by the clock {longest.by_clock:.0f} ms",
        ),
    ]


async def _ask(one: House, turn: Turn, waited: list[float]) -> None:
    while True:
        begun = time.perf_counter()
        await one.knowledge.search(again(turn), "embedder loaded")
        waited.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(0.2)


class Held(Struct):
    """Milliseconds that a timer of the event loop came late at most: by the clock, and without waiting for a core."""

    by_clock: float = 0.0
    by_us: float = 0.0


async def _loop_delay(longest: Held) -> None:
    while True:
        begun, waited = time.perf_counter(), _waited_for_a_core()
        await asyncio.sleep(0.001)
        late = (time.perf_counter() - begun) * 1000 - 1
        longest.by_clock = max(longest.by_clock, late)
        longest.by_us = max(longest.by_us, late - (_waited_for_a_core() - waited))


def _waited_for_a_core() -> float:
    """Milliseconds that this thread was ready to run and another had the core (Linux: schedstat)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e6


async def _speed() -> list[Figure]:
    """Hybrid searches of one reader among 100,000 passages; the question's embedding is at hand, or made."""
    embedder = Embedder()
    router = CrowdRouter()
    async with embedder.run(), running("pgvector", router) as one:
        world = Crowd(one, router, random.Random(3))
        async for done in world.fill():
            print(f"          {done} passages", end="\r", flush=True)
        figures: list[Figure] = []
        for name, reader in (
            ("a member, 40 % is theirs to read", world.member),
            ("a guest who has one tag", world.guest),
        ):
            figures += await _queries(one, world, reader, name)
        embedding = []
        for _ in range(50):
            begun = time.perf_counter()
            await embedder.embed([world.question()])
            embedding.append((time.perf_counter() - begun) * 1000)
    return [*figures, Figure(name="embedding of a question, beside it, median", value=_median(embedding), unit=" ms")]


async def _queries(one: House, world: "Crowd", reader: Turn, name: str) -> list[Figure]:
    """The query of the index by meaning and words with the reader's rights; and the whole search around it, which reads
    the rights, compares the candidates once more, checks them against the rows and logs."""
    place = await one.knowledge.index.active(reader)
    assert place is not None
    async with one.kernel.db.read(reader) as session:
        marks_of = marks(await reader_of(session, reader))
    filter = {"readers": marks_of, "archived": False}
    queries: list[float] = []
    searches: list[float] = []
    used = asked = served = 0.0
    for number in range(-WARMING, QUERIES):
        question, turn = world.question(), again(reader)
        (vector,) = await one.router.embed(turn, [question])
        if number == 0:  # a server's caches are not empty
            queries, searches, used, asked, served = [], [], 0.0, 0.0, 0.0
        begun, before, pages = time.perf_counter(), time.process_time(), postgres_cpu(one.kernel.folder)
        await asyncio.gather(
            one.vectors.search(turn, place.collection, vector=vector, filter=filter, limit=CANDIDATES),
            one.vectors.keywords(turn, place.collection, text=question, filter=filter, limit=CANDIDATES),
        )
        queries.append((time.perf_counter() - begun) * 1000)
        asked += time.process_time() - before
        served += postgres_cpu(one.kernel.folder) - pages
        question = world.question()
        begun, before = time.perf_counter(), time.process_time()
        await one.knowledge.search(turn, question)
        searches.append((time.perf_counter() - begun) * 1000)
        used += time.process_time() - before
    of = f"{QUERIES} questions to {CHUNKS} passages"
    return [
        Figure(name=f"hybrid query, {name}: median", value=_median(queries), bar=15, at_most=True, unit=" ms", of=of),
        Figure(name=f"hybrid query, {name}: quickest", value=min(queries), unit=" ms"),
        Figure(name=f"hybrid query, {name}: CPU", value=asked / QUERIES * 1000, unit=" ms"),
        Figure(name=f"hybrid query, {name}: PostgreSQL's CPU", value=served / QUERIES, unit=" ms"),
        Figure(name=f"whole search, {name}: median", value=_median(searches), unit=" ms"),
        Figure(name=f"whole search, {name}: CPU without PostgreSQL's", value=used / QUERIES * 1000, unit=" ms"),
    ]


def _median(times: Sequence[float]) -> float:
    return sorted(times)[len(times) // 2]


class CrowdRouter(WordRouter):
    """Embeddings near one of many subjects, as a question is near the passages of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.model = "house/subjects-384"
        self.numbers = np.random.default_rng(3)
        self.subjects = self.numbers.normal(size=(500, 384))

    async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
        return [self.vector(int(self.numbers.integers(500))) for _ in texts]

    def vector(self, subject: int) -> list[float]:
        vector = self.subjects[subject] + self.numbers.normal(size=384)
        return [float(value) for value in vector / np.linalg.norm(vector)]


class Crowd:
    """A tenant with many documents under all kinds of rights, written into the tables without reading files."""

    def __init__(self, one: House, router: CrowdRouter, chance: random.Random) -> None:
        self._one = one
        self._router = router
        self._chance = chance
        tenant = uuid4()
        self.member, self.guest = person(tenant), person(tenant, roles=())
        self._owners = [self.member.principal.id, *(uuid4() for _ in range(300))]
        self._tags = [f"team-{n}" for n in range(20)]
        # The words of a language: few are said often. What is said most are stop words, which no index has.
        self._words = [f"{a}{b}{c}" for a in _SYLLABLES for b in _SYLLABLES for c in _SYLLABLES]
        chance.shuffle(self._words)
        self._weights = [1 / (rank + 60) for rank in range(len(self._words))]

    def question(self) -> str:
        return " ".join(self._chance.choices(self._words, self._weights, k=7))

    async def fill(self) -> AsyncIterator[int]:
        await self._one.read(self.member, "The first document makes the index.")
        admin = person(self.member.tenant, roles=("owner",))
        await self._one.knowledge.set_audience(admin, "team-3", [self.member.principal.id, self.guest.principal.id])
        place = await self._one.knowledge.index.active(self.member)
        assert place is not None
        owner = await asyncpg.connect(self._one.kernel.urls.owner)
        indexes = await _without_indexes(owner)
        for document in range(CHUNKS // OF_A_DOCUMENT):
            await self._document(owner, place.collection, place.id, document)
            if document % 50 == 0:
                yield document * OF_A_DOCUMENT
        await owner.execute("SET maintenance_work_mem = '1GB'")
        for definition in indexes:
            await owner.execute(definition, timeout=3600)
        await owner.execute("VACUUM ANALYZE", timeout=600)
        await owner.close()

    async def _document(self, owner: asyncpg.Connection, collection: str, generation: int, number: int) -> None:
        tenant, item = self.member.tenant, uuid4()
        rights, keeper = self._rights(number), self._chance.choice(self._owners)
        await owner.execute(
            "INSERT INTO knowledge.item (tenant, id, title, owner, creator, visibility, audience, grants, source, name,"
            " size, sha256, original, served, stage, chunks)"
            " VALUES ($1, $2, $3, $4, $4, $5, $6, $7, 'text', 'x', 1, '', '', 1, 'indexed', $8)",
            tenant,
            item,
            f"Document {number}",
            keeper,
            rights.visibility_mode,
            list(rights.audience_tags),
            list(rights.user_grants),
            OF_A_DOCUMENT,
        )
        chunks = [(tenant, uuid4(), item, 1, n, self._text(), "", None, None) for n in range(OF_A_DOCUMENT)]
        await owner.copy_records_to_table("chunk", schema_name="knowledge", records=chunks)
        marks = readers(
            Kept(
                owner=keeper,
                visibility=rights.visibility_mode,
                audience=rights.audience_tags,
                grants=rights.user_grants,
            )
        )
        payload = {"item": str(item), "revision": 1, "generation": generation, "archived": False, "tags": []}
        points = [
            Point(
                id=str(chunk[1]),
                vector=self._router.vector(number % 500),
                text=chunk[5],
                payload={**payload, "readers": marks},
            )
            for chunk in chunks
        ]
        await self._one.vectors.put(self.member, collection, points)

    def _rights(self, number: int) -> Rights:
        match number % 10:
            case 0 | 1 | 2 | 3:
                return Rights(visibility_mode="shared")
            case 4 | 5:
                return Rights(visibility_mode="shared", audience_tags=(self._chance.choice(self._tags),))
            case 6 | 7:
                grants = tuple(self._chance.sample(self._owners, 2))
                return Rights(visibility_mode="restricted", user_grants=grants)
            case _:
                return Rights()

    def _text(self) -> str:
        return " ".join(self._chance.choices(self._words, self._weights, k=110))


_SYLLABLES = [f"{c}{v}" for c in "bdfglmnprstz" for v in ("a", "en", "o")]


async def _without_indexes(owner: asyncpg.Connection) -> list[str]:
    """Drop what is quicker built at once; the statements that make it again."""
    names = ("ix_point_384", "ix_point_terms", "ix_label_tokens")
    rows = await owner.fetch("SELECT indexdef FROM pg_indexes WHERE indexname = ANY ($1)", list(names))
    for name in names:
        await owner.execute(f"DROP INDEX stores.{name}")
    return [row["indexdef"] for row in rows]
