"""Finds passages: by meaning and by words with the reader's rights in the query, joined by rank, and checked again.

After a first look, the question moves towards what the best passages mean (Rocchio's feedback, on vectors as in Li et
al., 2021), and the candidates are compared with it once more: docs/quality.md has the figures. Where a model serves the
role `rerank`, it orders the best of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar
from uuid import UUID

import structlog
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, Row, Uuid, any_, exists, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from aibox.core.db import Database
from aibox.core.errors import AIBoxError, AuditUnavailable, StateUnavailable
from aibox.core.turn import Turn
from aibox.knowledge import Found, Scores, Search, Settings
from aibox.knowledge.index import Index, Place, active_place
from aibox.knowledge.models import PASSAGE, AudienceRow, ChunkRow, ItemRow, passage
from aibox.knowledge.rights import Reader, is_administrator, marks, readable
from aibox.router import Reranker
from aibox.stores import Ranked, Vectors

log = structlog.get_logger("aibox.knowledge.search")

RANK_CONSTANT = 60
"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009): a place in a list counts 1 / (60 + place)."""

CANDIDATES = 50
"""Each ranking brings so many at least, and so many times the results asked for as below."""

TIMES = 3

CHARACTERS_A_TOKEN = 3.5
"""A careful guess for European languages: few tokenizers make more tokens of a text."""

TOKENS_AROUND = 30
"""Of a passage's title, number and marks."""

RERANKED, RERANK_SECONDS = 30, 5.0
"""So many passages are shown to the reranker; a search does not wait longer for it."""

CONSULT_SECONDS = 10.0
"""A prompt waits no longer for its passages."""

T = TypeVar("T")
Degraded = Literal["", "meaning", "words", "rerank"]


class Looked(Struct, frozen=True, kw_only=True):
    """What the index answered, before the rows were asked.

    `meaning` are cosine similarities with the question, `near` the passages by nearness after feedback, `words` those
    that share words with it; both best first.
    """

    meaning: Mapping[UUID, float] = {}
    near: Sequence[UUID] = ()
    words: Sequence[UUID] = ()
    degraded: Degraded = ""


class First(Struct, frozen=True, kw_only=True):
    """What the first look found, best first. `question` is None when meaning did not answer."""

    question: list[float] | None
    near: Sequence[UUID]
    words: Sequence[UUID]
    has_words: bool


Compare = Callable[[Sequence[float], Sequence[Sequence[float]]], tuple[list[float], list[int]]]
"""See `feedback.compare`."""


class Finder:
    """Searches of a tenant's passages by one reader."""

    def __init__(self, settings: Settings, *, db: Database, vectors: Vectors, index: Index, reranker: Reranker) -> None:
        self._settings = settings
        self._db = db
        self._vectors = vectors
        self._index = index
        self._reranker = reranker
        self._compare: Compare | None = None

    async def search(self, turn: Turn, query: str, *, limit: int, tags: Sequence[str] = ()) -> Search:
        """The best passages that the turn's user may read now. Raises only when nothing answers at all."""
        async with self._db.read(turn) as session:
            reader, place = await reader_of(session, turn), await active_place(session, turn)
        return await self._search(turn, reader, place, query, limit=limit, tags=tags)

    async def consult(self, turn: Turn, question: str, *, limit: int) -> Search:
        """Passages near enough to put before a prompt; those found by words alone must be half as near."""
        async with self._db.read(turn) as session:
            reader = await reader_of(session, turn)
            if not await session.scalar(select(exists().where(*_servable(turn, reader)))):
                return Search()
            place = await active_place(session, turn)
        async with asyncio.timeout(CONSULT_SECONDS):
            search = await self._search(turn, reader, place, question, limit=limit)
        near = [found for found in search.found if self._is_near(found)]
        return Search(_within_budget(near, tokens=self._settings.token_budget), search.degraded)

    async def _search(
        self, turn: Turn, reader: Reader, place: Place | None, query: str, *, limit: int, tags: Sequence[str] = ()
    ) -> Search:
        query = query.replace("\x00", "").strip()
        if place is None or not query:
            return Search()
        filter: dict[str, Any] = {"readers": marks(reader), "archived": False, **({"tags": list(tags)} if tags else {})}
        first = await self._look(turn, place, query, filter, most=max(CANDIDATES, limit * TIMES))
        ids = list(ranked(first.near, first.words))
        looked, rows = await asyncio.gather(
            self._compared(turn, place, first, ids), self._standing(turn, reader, tags, ids)
        )
        order = ranked(looked.near, looked.words)
        best = [(rows[id], score) for id, score in order.items() if id in rows][: max(limit, RERANKED)]
        found = [_found(row, looked, score) for row, score in best]
        return await self._reranked(turn, query, found, limit=limit, degraded=looked.degraded)

    async def _reranked(
        self, turn: Turn, query: str, found: Sequence[Found], *, limit: int, degraded: Degraded
    ) -> Search:
        """The best of `found`, by the model of the role `rerank` where there is one and it answers in time."""
        shown, rest = found[:RERANKED], found[RERANKED:]
        if not shown or not await self._reranker.can_rerank(turn):
            return Search(tuple(found[:limit]), degraded)
        texts = ["\n".join(filter(None, (one.title, one.passage.section, one.passage.text))) for one in shown]
        try:
            async with asyncio.timeout(RERANK_SECONDS):
                relevance = await self._reranker.rerank(turn, query, texts)
        except AuditUnavailable:
            raise
        except (AIBoxError, TimeoutError) as error:
            log.warning("knowledge.not_reranked", error=getattr(error, "code", "timeout"))
            return Search(tuple(found[:limit]), degraded or "rerank")
        order = sorted(zip(relevance, shown, strict=True), key=lambda item: -item[0])
        best = [_with_relevance(one, score, place) for place, (score, one) in enumerate(order, 1)]
        return Search((*best, *rest)[:limit], degraded)

    def _is_near(self, found: Found) -> bool:
        meaning = found.scores.meaning
        if meaning is None:  # the embedder is down: the best by words are all there is
            return found.scores.words_rank is not None
        has_words = found.scores.words_rank is not None and found.scores.words_rank <= 3
        return meaning >= self._settings.threshold * (0.5 if has_words else 1.0)

    async def _look(self, turn: Turn, place: Place, query: str, filter: Mapping[str, Any], *, most: int) -> First:
        near, worded = await asyncio.gather(
            _or_none(self._by_meaning(turn, place, query, filter, most)),
            _or_none(self._by_words(turn, place, query, filter, most)),
        )
        vector, found = near or (None, [])
        return First(
            question=vector,
            near=[UUID(ranked.id) for ranked in found],
            words=[UUID(ranked.id) for ranked in worded or ()],
            has_words=worded is not None,
        )

    async def _compared(self, turn: Turn, place: Place, first: First, ids: Sequence[UUID]) -> Looked:
        """The candidates `ids` compared once more; by words alone where meaning does not answer."""
        if first.question is not None:
            looked = await _or_none(self._with_feedback(turn, place, first.question, ids, first.words))
            if looked is not None:
                return replace(looked, degraded="" if first.has_words else "words")
        if not first.has_words or not self._settings.sparse:
            raise StateUnavailable("The documents cannot be searched right now. Try again shortly.")
        return Looked(words=first.words, degraded="meaning")

    async def _standing(
        self, turn: Turn, reader: Reader, tags: Sequence[str], ids: Sequence[UUID]
    ) -> dict[UUID, Row[Any]]:
        """The rows of `ids` with their titles. They decide: rights may have changed after the index looked, and what
        is being replaced is not there."""
        async with self._db.read(turn) as session:
            return {row.id: row for row in await session.execute(_standing(turn, reader, tags, ids))}

    async def _by_meaning(
        self, turn: Turn, place: Place, query: str, filter: Mapping[str, Any], most: int
    ) -> tuple[list[float], list[Ranked]]:
        (vector,) = await self._index.embed(turn, place, [query])
        return vector, await self._vectors.search(turn, place.collection, vector=vector, filter=filter, limit=most)

    async def _by_words(
        self, turn: Turn, place: Place, query: str, filter: Mapping[str, Any], most: int
    ) -> list[Ranked]:
        if not self._settings.sparse:
            return []
        return await self._vectors.keywords(turn, place.collection, text=query, filter=filter, limit=most)

    async def _with_feedback(
        self, turn: Turn, place: Place, question: list[float], ids: Sequence[UUID], words: Sequence[UUID]
    ) -> Looked:
        """Compare all candidates with the question, and with the question moved towards the best of them."""
        vectors = await self._vectors.vectors(turn, place.collection, [str(id) for id in ids])
        ids = [id for id in ids if str(id) in vectors]
        if not ids:
            return Looked(words=words)
        if self._compare is None:
            self._compare = await asyncio.to_thread(_load_compare)
        likeness, near = self._compare(question, [vectors[str(id)] for id in ids])
        return Looked(meaning=dict(zip(ids, likeness, strict=True)), near=[ids[place] for place in near], words=words)


def _load_compare() -> Compare:
    """NumPy comes with it: 11 MB that an idle server does without, and 30 ms that the event loop cannot wait."""
    from aibox.knowledge.feedback import compare  # noqa: PLC0415

    return compare


def _within_budget(found: Sequence[Found], *, tokens: int) -> tuple[Found, ...]:
    """The best that fit together; a passage that is too long is passed over."""
    taken = []
    for one in found:
        cost = round(len(one.passage.text) / CHARACTERS_A_TOKEN) + TOKENS_AROUND
        if cost <= tokens:
            taken.append(one)
            tokens -= cost
    return tuple(taken)


def ranked(*rankings: Sequence[UUID]) -> dict[UUID, float]:
    """Reciprocal rank fusion of the rankings, best first; 1 is the first place in all of them."""
    scores: dict[UUID, float] = {}
    for ranking in rankings:
        for place, id in enumerate(ranking, 1):
            scores[id] = scores.get(id, 0.0) + (RANK_CONSTANT + 1) / (RANK_CONSTANT + place) / len(rankings)
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


async def reader_of(session: AsyncSession, turn: Turn) -> Reader:
    """Who the turn's principal is to the rights: their audiences are read each time, so that a change acts at once."""
    principal = turn.principal
    tags = await session.scalars(
        select(AudienceRow.tag).where(AudienceRow.tenant == turn.tenant, AudienceRow.user_id == principal.id)
    )
    return Reader(principal.id, frozenset((*tags, *principal.roles)), is_administrator(principal))


def _servable(turn: Turn, reader: Reader) -> tuple[ColumnElement[bool], ...]:
    """Items of which the reader may find passages."""
    return (ItemRow.tenant == turn.tenant, ItemRow.served > 0, ~ItemRow.archived, readable(reader))


def _standing(turn: Turn, reader: Reader, tags: Sequence[str], ids: Iterable[UUID]) -> Any:
    """The passages of `ids` that the reader may read as the rows are now, with their titles."""
    wanted = (
        select(*PASSAGE, ItemRow.title)
        .join(ItemRow, (ItemRow.tenant == ChunkRow.tenant) & (ItemRow.id == ChunkRow.item))
        # An array, for a list would be another statement with each number of candidates.
        .where(
            ChunkRow.id == any_(literal(list(ids), ARRAY(Uuid))),
            ChunkRow.revision == ItemRow.served,
            *_servable(turn, reader),
        )
    )
    return wanted.where(ItemRow.tags.overlap(list(tags))) if tags else wanted


def _found(row: Row[Any], looked: Looked, fused: float) -> Found:
    scores = Scores(
        meaning=_rounded(looked.meaning.get(row.id)),
        meaning_rank=_place_in(looked.near, row.id),
        words_rank=_place_in(looked.words, row.id),
        fused=round(fused, 4),
    )
    return Found(passage=passage(row), title=row.title, scores=scores, rationale=rationale(scores))


def rationale(scores: Scores) -> str:
    """Why a passage was found, in words."""
    reasons = []
    if scores.meaning_rank is not None:
        reasons.append(f"{_nth(scores.meaning_rank)} by meaning (similarity {scores.meaning or 0:.2f})")
    if scores.words_rank is not None:
        reasons.append(f"{_nth(scores.words_rank)} by shared words")
    return " and ".join(reasons)


def _with_relevance(found: Found, relevance: float, place: int) -> Found:
    """What was found, with what the reranker says of it."""
    reason = f"{_nth(place)} by the reranker (relevance {relevance:.2f})"
    why = " and ".join(filter(None, (reason, found.rationale)))
    return replace(found, scores=replace(found.scores, rerank=_rounded(relevance)), rationale=why)


def _nth(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _place_in(ranking: Sequence[UUID], id: UUID) -> int | None:
    return ranking.index(id) + 1 if id in ranking else None


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


async def _or_none(act: Awaitable[T]) -> T | None:
    """What `act` gives, None when it failed: the other half of a search goes on alone, and says so."""
    try:
        return await act
    except AuditUnavailable:
        raise
    except AIBoxError as error:
        log.warning("knowledge.degraded", code=error.code)
        return None
