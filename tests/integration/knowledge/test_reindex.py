"""Another embedding model: a second index is built beside the first, which serves until one commit switches them."""

import asyncio

import asyncpg

from aibox.core.turn import Turn, system_turn
from aibox.knowledge import Change
from tests.integration.knowledge.house import House, again, person


async def states(one: House, turn: Turn) -> list[tuple[str, str, int]]:
    return [(found.state, found.model, found.items) for found in await one.knowledge.generations(turn)]


async def test_searches_answer_while_the_next_index_is_built_and_after_the_switch(one: House, anna: Turn) -> None:
    for n in range(3):
        await one.read(anna, f"Seal number {n} of the pump.", title=f"T{n}")
    everything = {"T0", "T1", "T2"}
    one.router.model = "house/words-96"
    seen = []

    async def search(model: str) -> None:
        seen.append((model, await one.found(anna, "seal")))

    await one.knowledge.watch()
    one.router.meanwhile = search
    assert [state for state, _, _ in await states(one, anna)] == ["building", "active"]

    await one.jobs.drain()

    assert seen == [("house/words-96", everything)] * 3
    assert await one.found(anna, "seal") == everything
    assert await states(one, anna) == [("active", "house/words-96", 3)], "and the old one is gone"


async def test_what_is_added_and_changed_meanwhile_is_right_in_the_next_index(embedded: House, anna: Turn) -> None:
    peer = person(anna.tenant)
    old = await embedded.read(anna, "Seal of the pump.", title="Old")
    gone = await embedded.read(anna, "Seal of the king.", title="Gone")
    embedded.router.model = "house/words-96"
    await embedded.knowledge.watch()
    added = await embedded.knowledge.add_text(anna, title="New", content="Seal of the sea.")
    await embedded.knowledge.change(again(anna), old.id, Change(visibility_mode="shared"))
    await embedded.knowledge.delete(again(anna), gone.id)

    await embedded.hurry()

    assert (await embedded.knowledge.item(anna, added.item.id)).stage == "indexed"
    assert await embedded.found(anna, "seal") == {"Old", "New"}
    assert await embedded.found(peer, "seal") == {"Old"}
    assert await states(embedded, anna) == [("active", "house/words-96", 2)]
    points = await embedded.kernel.connections.system.fetch(
        "SELECT collection, count(*) AS n FROM stores.point GROUP BY 1"
    )
    assert [row["n"] for row in points] == [2]


async def test_a_document_that_ends_just_after_the_switch_stands_in_the_new_index(embedded: House, anna: Turn) -> None:
    await embedded.read(anna, "Seal of the pump.", title="Old")
    added = await embedded.knowledge.add_text(anna, title="Late", content="Seal of the sea.")

    async def switch(_: str) -> None:
        embedded.router.meanwhile = None
        embedded.router.model = "house/words-96"
        await embedded.knowledge.watch()
        await embedded.jobs.drain()

    embedded.router.meanwhile = switch
    await embedded.hurry()

    assert (await embedded.knowledge.item(anna, added.item.id)).stage == "indexed"
    assert await embedded.found(anna, "seal") == {"Old", "Late"}


async def test_a_model_that_is_set_back_ends_the_building(embedded: House, anna: Turn) -> None:
    await embedded.read(anna, "Seal of the pump.", title="Old")
    embedded.router.model = "house/words-96"
    await embedded.knowledge.watch()
    embedded.router.model = "house/words-64"
    await embedded.knowledge.watch()

    await embedded.hurry()

    assert await states(embedded, anna) == [("active", "house/words-64", 1)]
    assert await embedded.found(anna, "seal") == {"Old"}


async def test_a_model_that_is_gone_leaves_words_until_the_next_index_serves(embedded: House, anna: Turn) -> None:
    await embedded.read(anna, "Seal of the MAGNA3.", title="Old")
    embedded.router.gone.add("house/words-64")
    embedded.router.model = "house/words-96"

    search = await embedded.knowledge.search(again(anna), "MAGNA3")
    assert ([found.title for found in search.found], search.degraded) == (["Old"], "meaning")
    await embedded.knowledge.watch()
    await embedded.hurry()

    search = await embedded.knowledge.search(again(anna), "MAGNA3")
    assert ([found.title for found in search.found], search.degraded) == (["Old"], "")


async def test_a_killed_reindexing_goes_on(embedded: House, anna: Turn) -> None:
    for n in range(4):
        await embedded.read(anna, f"Seal number {n}.", title=f"T{n}")
    embedded.router.model = "house/words-96"
    await embedded.knowledge.watch()
    reached = asyncio.Event()

    async def die(_: str) -> None:
        if (await embedded.knowledge.generations(anna))[0].items == 2:
            reached.set()
            await asyncio.Event().wait()

    embedded.router.meanwhile = die
    dying = asyncio.create_task(embedded.jobs.drain())
    await asyncio.wait_for(reached.wait(), 60)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)

    embedded.router.meanwhile = None
    embedded.router.asked.clear()
    await embedded.hurry()

    assert len([text for text in embedded.router.asked if "Seal number" in text]) == 2, "two were there already"
    assert await states(embedded, anna) == [("active", "house/words-96", 4)]


async def test_tenants_with_other_models_share_no_collection(embedded: House, anna: Turn) -> None:
    other = person(system_turn().id)
    await embedded.read(anna, "Seal of the pump.", title="Ours")
    embedded.router.model = "house/words-96"
    await embedded.read(other, "Seal of the king.", title="Theirs")

    assert await embedded.found(anna, "seal") == {"Ours"}
    assert await embedded.found(other, "seal") == {"Theirs"}
    owner = await asyncpg.connect(embedded.kernel.urls.owner)
    sizes = await owner.fetch("SELECT dimension FROM stores.collection ORDER BY 1")
    await owner.close()
    assert [row["dimension"] for row in sizes] == [64, 96]
