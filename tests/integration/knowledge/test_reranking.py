"""What the role `rerank` does to a search: the best passages in its order, and the order before it when it fails."""

import asyncio

import pytest

from aibox.core.turn import Turn
from aibox.knowledge import Rights, Search
from aibox.router import BackendUnavailable
from tests.integration.knowledge.house import House, person

TITLES = ("Pump", "Valve", "Seal")


async def taken_in(house: House, anna: Turn) -> None:
    for number, title in enumerate(TITLES):
        await house.read(anna, f"The figures of part {number}.", title=title, rights=Rights(visibility_mode="shared"))


async def searched(house: House, turn: Turn, *, limit: int = 10) -> Search:
    return await house.knowledge.search(turn, "figures of the part", limit=limit)


def likes(title: str) -> float:
    return {"Seal": 3.25, "Valve": 1.0}.get(title, -2.0)


async def test_the_reranker_orders_the_passages_and_says_so(embedded: House, anna: Turn) -> None:
    await taken_in(embedded, anna)
    before = await searched(embedded, anna)
    embedded.router.relevance = lambda question, text: likes(text.splitlines()[0])

    after = await searched(embedded, anna)

    assert [found.scores.rerank for found in before.found] == [None] * 3
    assert [(found.title, found.scores.rerank) for found in after.found] == [
        ("Seal", 3.25),
        ("Valve", 1.0),
        ("Pump", -2.0),
    ]
    assert after.found[0].rationale.startswith("1st by the reranker (relevance 3.25) and ")
    assert after.found[0].score == 3.25
    assert after.degraded == ""


async def test_a_passage_below_the_limit_may_come_up(embedded: House, anna: Turn) -> None:
    await taken_in(embedded, anna)
    last = (await searched(embedded, anna)).found[-1].title
    embedded.router.relevance = lambda question, text: float(text.startswith(last))

    assert [found.title for found in (await searched(embedded, anna, limit=1)).found] == [last]


async def test_the_reranker_sees_what_the_reader_may_read_and_nothing_else(embedded: House, anna: Turn) -> None:
    await taken_in(embedded, anna)
    await embedded.read(
        anna, "The secret figures of the part.", title="Private", rights=Rights(visibility_mode="private")
    )
    embedded.router.relevance = lambda question, text: 0.0

    await searched(embedded, person(anna.tenant))

    assert sorted(text.splitlines()[0] for text in embedded.router.reranked) == sorted(TITLES)


@pytest.mark.parametrize("fails", ["down", "slow"])
async def test_without_its_answer_the_order_is_as_before_and_the_search_says_so(
    embedded: House, anna: Turn, fails: str
) -> None:
    await taken_in(embedded, anna)
    before = await searched(embedded, anna)

    async def fail() -> None:
        if fails == "down":
            raise BackendUnavailable()
        await asyncio.Event().wait()

    embedded.router.relevance = lambda question, text: 1.0
    embedded.router.before_reranking = fail
    after = await searched(embedded, anna)

    assert after.degraded == "rerank"
    assert [found.passage.chunk_id for found in after.found] == [found.passage.chunk_id for found in before.found]


async def test_nothing_found_asks_no_reranker(embedded: House, anna: Turn) -> None:
    embedded.router.relevance = lambda question, text: 1.0
    assert (await searched(embedded, anna)).found == ()
    assert embedded.router.reranked == []
