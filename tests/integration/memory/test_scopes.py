"""Scopes, sharing, extraction, consolidation, export and erasure of memories."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from uuid import uuid4

import asyncpg
import pytest
from msgspec import structs

from aibox.core.errors import NotFound
from aibox.core.turn import Permissions, Principal, Turn, begin
from aibox.memory import Scope
from aibox.memory.service import MemoryService
from aibox.router import BackendMalformed
from tests.conftest import Kernel
from tests.integration.memory.world import WordsRouter, World, memories


@pytest.fixture
def router() -> WordsRouter:
    return WordsRouter()


@pytest.fixture
async def service(kernel: Kernel, router: WordsRouter) -> AsyncGenerator[MemoryService]:
    async with memories(kernel, router) as running:
        yield running


def person(*may: str, like: Turn | None = None) -> Turn:
    tenant = like.tenant if like is not None else uuid4()
    permissions = Permissions(memory=frozenset(may))
    return begin(Principal(kind="user", tenant=tenant, id=uuid4(), pseudonym=f"p-{uuid4()}", permissions=permissions))


async def test_no_random_operation_shows_a_memory_outside_its_scope(service: MemoryService) -> None:
    world = World(service, random.Random(3), people=8)

    for _ in range(250):
        await world.step()


async def test_a_memory_of_an_agent_is_recalled_in_its_turns_only(service: MemoryService) -> None:
    turn = person()
    await service.store(turn, "the build runs on friday", scope=Scope(agent_id="a1"))

    with_agent = structs.replace(begin(turn.principal), agent="a1")
    look_alike = structs.replace(begin(turn.principal), agent="a10")

    assert [memory.content for memory in (await service.recall(with_agent, "the build runs on friday")).memories]
    assert (await service.recall(look_alike, "the build runs on friday")).memories == ()
    assert (await service.recall(begin(turn.principal), "the build runs on friday")).memories == ()


async def test_a_memory_of_a_session_is_recalled_in_it_only(service: MemoryService) -> None:
    turn, session = person(), uuid4()
    await service.store(turn, "we speak about the roof", scope=Scope(session_id=str(session)))

    here = structs.replace(begin(turn.principal), conversation=session)
    elsewhere = structs.replace(begin(turn.principal), conversation=uuid4())

    assert len((await service.recall(here, "the roof")).memories) == 1
    assert (await service.recall(elsewhere, "the roof")).memories == ()


async def test_who_may_read_the_team_finds_what_is_shared_and_cannot_change_it(service: MemoryService) -> None:
    anna = person("share")
    ben, eve = person("read_team", like=anna), person(like=anna)
    shared = await service.store(anna, "the wifi of the office is guest", visibility="team")
    await service.store(anna, "the wifi of my home is private")

    found = await service.search(ben, "the wifi of the office")

    assert [memory.id for memory in found] == [shared.id]
    assert (await service.get(ben, shared.id)).user_id == anna.principal.id
    assert await service.search(eve, "the wifi of the office") == []
    for act in (service.delete(ben, shared.id), service.update(ben, shared.id, "mine"), service.get(eve, shared.id)):
        with pytest.raises(NotFound):
            await act


async def test_a_found_memory_says_why(service: MemoryService) -> None:
    turn = person()
    await service.store(turn, "my dog is called Rex")

    (found,) = await service.search(turn, "my dog is called what")

    assert found.matched == ("meaning", "words")
    assert found.score is not None


async def test_who_switched_memory_off_is_neither_read_nor_remembered(service: MemoryService) -> None:
    turn = person()
    await service.store(turn, "I live in Berlin")

    await service.switch(turn, off=True)

    assert (await service.recall(turn, "I live in Berlin")).memories == ()
    assert await service.observe(turn, "My name is Anna.") == []
    await service.switch(turn, off=False)
    assert len((await service.recall(turn, "I live in Berlin")).memories) == 1


async def test_a_correction_becomes_feedback_and_deletes_nothing(service: MemoryService) -> None:
    turn = person()
    before = await service.store(turn, "My name is Ana.")

    (kept,) = await service.observe(turn, "No, my name is Anna.")

    assert (kept.memory_type, kept.content) == ("feedback", "No, my name is Anna.")
    assert (await service.get(turn, before.id)).content == "My name is Ana."


async def test_a_model_extracts_what_is_kept(service: MemoryService, router: WordsRouter) -> None:
    turn = person()
    router.answers = ['{"memory": [{"text": "Lives in Lisbon"}, {"text": "Has two cats"}]}']

    kept = await service.extract(turn, "I moved to Lisbon with my two cats", scope=Scope(agent_id="a1"))

    assert [memory.content for memory in kept] == ["Lives in Lisbon", "Has two cats"]
    assert {memory.scope.agent_id for memory in kept} == {"a1"}
    assert len(await service.list(turn)) == 2


@pytest.mark.parametrize("answer", ["Sure! I will remember that.", '{"memory": "cats"}', ""])
async def test_an_extraction_that_cannot_be_read_is_an_error_and_no_silent_loss(
    service: MemoryService, router: WordsRouter, answer: str
) -> None:
    turn = person()
    router.answers = [answer]

    with pytest.raises(BackendMalformed):
        await service.extract(turn, "I moved to Lisbon")

    assert await service.list(turn) == []


async def test_the_nightly_merge_keeps_what_was_said_in_the_history(
    service: MemoryService, router: WordsRouter
) -> None:
    turn = person()
    old = await service.store(turn, "I live in Berlin")
    await service.store(turn, "I drink tea")
    new = await service.store(turn, "I moved to Lisbon")
    router.answers = ['{"merges": [{"numbers": [0, 2], "content": "Lives in Lisbon, before in Berlin"}]}']

    merged = await service.consolidate()
    again = await service.consolidate()

    assert (merged, again) == (1, 0)
    assert {memory.content for memory in await service.list(turn)} == {
        "I drink tea",
        "Lives in Lisbon, before in Berlin",
    }
    told = {(change.op, change.content) for change in await service.history(turn, old.id)}
    assert {("store", "I live in Berlin"), ("merge", "I moved to Lisbon")} <= told
    with pytest.raises(NotFound):
        await service.get(turn, new.id)
    assert (await service.search(turn, "before in Berlin"))[0].id == old.id


@pytest.mark.parametrize(
    "answer",
    ['{"merges": [{"numbers": [0, 9], "content": "x"}]}', '{"merges": [{"numbers": [0, 0], "content": "x"}]}', "no"],
)
async def test_a_merge_of_what_is_not_there_changes_nothing(
    service: MemoryService, router: WordsRouter, answer: str
) -> None:
    turn = person()
    await service.store(turn, "I live in Berlin")
    await service.store(turn, "I drink tea")
    router.answers = [answer]

    assert await service.consolidate() == 0

    assert len(await service.list(turn)) == 2


@pytest.mark.parametrize(
    "answer",
    ["I will not.", '{"merges": [{"numbers": [0, 1], "content": "I like jazz"}]}'],
    ids=["unreadable", "says what another memory says"],
)
async def test_what_the_memories_of_one_make_of_a_model_does_not_end_the_night_for_others(
    service: MemoryService, router: WordsRouter, answer: str
) -> None:
    people = [person(), person()]
    for turn in people:
        for content in ("I like jazz", "I live in Berlin", "I live in Berlin, Germany"):
            await service.store(turn, content)
    router.answers = [answer, '{"merges": [{"numbers": [0, 1], "content": "Lives in Berlin"}]}']

    assert await service.consolidate() == 1

    kept = sorted([len(await service.list(turn)) for turn in people])
    assert kept == [2, 3]


async def test_memories_of_who_switched_memory_off_are_shown_to_no_model_at_night(
    service: MemoryService, router: WordsRouter
) -> None:
    turn = person()
    await service.store(turn, "I live in Berlin")
    await service.store(turn, "I live in Berlin, Germany")
    await service.switch(turn, off=True)

    assert await service.consolidate() == 0

    assert router.asked == []


@pytest.mark.parametrize("gone", ["erased", "deleted"])
async def test_what_is_erased_while_it_is_still_being_indexed_leaves_no_vector(kernel: Kernel, gone: str) -> None:
    reached, may_go_on = asyncio.Event(), asyncio.Event()

    class Slow(WordsRouter):
        async def embed(self, turn: Turn, texts: Sequence[str], *, model: str = "embedding") -> list[list[float]]:
            reached.set()
            await may_go_on.wait()
            return await super().embed(turn, texts)

    turn, word = person(), f"zebra{uuid4().hex}"
    async with memories(kernel, Slow()) as service:
        storing = asyncio.ensure_future(service.store(turn, f"my {word} is striped"))
        await reached.wait()
        (memory,) = await service.list(turn)
        await (service.erase(turn) if gone == "erased" else service.delete(turn, memory.id))
        may_go_on.set()
        await storing

    assert await holding(kernel, word) == []


async def test_an_export_has_every_memory_with_its_history(service: MemoryService) -> None:
    turn = person()
    memory = await service.store(turn, "I live in Berlin")
    await service.update(turn, memory.id, "I live in Lisbon")
    await service.store(person(like=turn), "not mine")

    (told,) = await service.export(turn)

    assert told.memory.content == "I live in Lisbon"
    assert [change.content for change in told.history] == ["I live in Berlin", "I live in Lisbon"]


async def holding(kernel: Kernel, word: str) -> list[str]:
    """The tables of the database in which a row has `word`."""
    owner = await asyncpg.connect(kernel.urls.owner)
    tables = await owner.fetch(
        "SELECT format('%I.%I', n.nspname, c.relname) AS name"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')"
    )
    found = [
        row["name"]
        for row in tables
        if await owner.fetchval(f"SELECT EXISTS (SELECT 1 FROM {row['name']} x WHERE x::text LIKE $1)", f"%{word}%")
    ]
    await owner.close()
    return found


async def test_after_erasure_no_table_and_no_file_holds_the_words(
    service: MemoryService, kernel: Kernel, router: WordsRouter
) -> None:
    turn, word = person(), f"zebra{uuid4().hex}"
    memory = await service.store(turn, f"my {word} is striped")
    await service.update(turn, memory.id, f"my {word} is grey")
    router.answers = ['{"memory": []}']
    await service.extract(turn, f"a raw message about {word}")

    assert {"memory.memory", "memory.history", "stores.point"} <= set(await holding(kernel, word))

    assert await service.erase(turn) == 1

    assert await holding(kernel, word) == []
    files = [file for file in (kernel.folder / "mem0").rglob("*") if file.is_file()]
    assert not [file for file in files if word.encode() in file.read_bytes()]


async def test_a_stop_does_not_wait_for_an_embedder_that_hangs(kernel: Kernel, router: WordsRouter) -> None:
    hanging = asyncio.Event()

    class Hanging(WordsRouter):
        async def embed(self, turn: Turn, texts: object, *, model: str = "embedding") -> list[list[float]]:
            hanging.set()
            await asyncio.Event().wait()
            return []

    async with memories(kernel, Hanging()) as running:
        storing = asyncio.ensure_future(running.store(person(), "I live in Berlin"))
        await hanging.wait()
        index = running._index
        while not (waiting := list(index._asked.futures)):  # the thread is on its way there
            await asyncio.sleep(0)

    assert all(future.cancelled() for future in waiting)
    storing.cancel()
    await asyncio.gather(storing, return_exceptions=True)
