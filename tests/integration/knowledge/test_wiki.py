"""Wiki pages: versions, races, links, rights, and that searches find the newest version only."""

import asyncio
from uuid import uuid4

import pytest

from aibox.core.errors import Forbidden, NotFound, ValidationFailed
from aibox.core.turn import Turn
from aibox.knowledge import Change, Page, WikiStale
from tests.integration.knowledge.house import House, again, person, written


async def test_a_page_is_written_read_listed_changed_and_removed(one: House, anna: Turn) -> None:
    first = await one.wiki.save(again(anna), topic="On-Call Duty", content="# On call\n\nRing the red bell.")
    second = await one.wiki.save(again(anna), topic="on-call duty", content="# On call\n\nRing twice.", base_version=1)

    assert (first.topic, first.title, first.version, second.version) == ("on-call-duty", "On call", 1, 2)
    assert (await one.wiki.page(anna, "on-call-duty")).content.endswith("Ring twice.")
    assert (await one.wiki.page(anna, "on-call-duty", version=1)).content.endswith("the red bell.")
    assert [page.topic for page in await one.wiki.pages(anna)] == ["on-call-duty"]
    versions = await one.wiki.versions(anna, "on-call-duty")
    assert [(version.version, version.author_user_id) for version in versions] == [
        (2, anna.principal.id),
        (1, anna.principal.id),
    ]
    diff = await one.wiki.diff(anna, "on-call-duty", old=1, new=2)
    assert "-Ring the red bell.\n+Ring twice." in diff

    await one.wiki.remove(again(anna), "on-call-duty")
    await one.jobs.drain()

    with pytest.raises(NotFound):
        await one.wiki.page(anna, "on-call-duty")
    assert list(await one.wiki.pages(anna)) == []
    assert [path for path in written(one.kernel.folder / "objects") if b"bell" in path.read_bytes()] == []


async def test_a_search_finds_the_newest_version_and_the_old_one_until_that_is_read(one: House, anna: Turn) -> None:
    await one.wiki.save(again(anna), topic="Duty", content="Ring the red bell.")
    await one.jobs.drain()
    await one.wiki.save(again(anna), topic="Duty", content="Blow the green whistle.", base_version=1)

    before = await one.knowledge.search(again(anna), "bell whistle")
    await one.jobs.drain()
    after = await one.knowledge.search(again(anna), "bell whistle")

    assert [found.passage.text for found in before.found] == ["Ring the red bell."]
    assert [found.passage.text for found in after.found] == ["Blow the green whistle."]
    place = await one.knowledge.index.active(anna)
    assert place is not None
    assert len(await one.vectors.get(anna, place.collection, filter={}, limit=9)) == 1


async def test_who_saves_from_an_old_version_is_told_and_overwrites_nothing(embedded: House, anna: Turn) -> None:
    await embedded.wiki.save(again(anna), topic="Duty", content="one")
    await embedded.wiki.save(again(anna), topic="Duty", content="two", base_version=1)

    for base in (None, 1, 7):
        with pytest.raises(WikiStale):
            await embedded.wiki.save(again(anna), topic="Duty", content="three", base_version=base)

    page = await embedded.wiki.page(anna, "duty")
    assert (page.content, page.version) == ("two", 2)
    kept = [path.read_text() for path in written(embedded.kernel.folder / "objects") if path.read_bytes()]
    assert sorted(text for text in kept if text in ("one", "two", "three")) == ["one", "two"]


async def test_of_many_who_save_at_once_one_wins(embedded: House, anna: Turn) -> None:
    await embedded.wiki.save(again(anna), topic="Duty", content="begin")

    saved = await asyncio.gather(
        *(embedded.wiki.save(again(anna), topic="Duty", content=f"by {n}", base_version=1) for n in range(5)),
        return_exceptions=True,
    )

    pages = [one for one in saved if isinstance(one, Page)]
    assert len(pages) == 1
    assert sum(isinstance(one, WikiStale) for one in saved) == 4
    assert (await embedded.wiki.page(anna, "duty")).content == pages[0].content


async def test_links_and_backlinks_follow_the_newest_version_and_the_readers_rights(
    embedded: House, anna: Turn
) -> None:
    peer = person(anna.tenant)
    await embedded.wiki.save(again(anna), topic="Start", content="See [[Duty]], [[Köln Office|Köln]], [x](wiki:vpn).")
    await embedded.wiki.save(again(anna), topic="Duty", content="Go to [start](/wiki/start).")
    hidden = await embedded.wiki.save(again(anna), topic="Hidden", content="See [[Duty]].")
    await embedded.knowledge.change(again(anna), hidden.document_id, Change(visibility_mode="private"))

    assert (await embedded.wiki.page(anna, "start")).links == ("duty", "köln-office", "vpn")
    assert (await embedded.wiki.page(anna, "start")).backlinks == ("duty",)
    assert (await embedded.wiki.page(anna, "duty")).backlinks == ("hidden", "start")
    assert (await embedded.wiki.page(peer, "duty")).backlinks == ("start",)

    await embedded.wiki.save(again(anna), topic="Start", content="Nothing to see.", base_version=1)

    assert (await embedded.wiki.page(peer, "duty")).backlinks == ()


async def test_pages_are_shared_with_the_tenant_edited_together_and_removed_by_their_owner(
    embedded: House, anna: Turn
) -> None:
    peer, stranger = person(anna.tenant), person(uuid4())
    await embedded.wiki.save(again(anna), topic="Duty", content="one")

    edited = await embedded.wiki.save(again(peer), topic="Duty", content="two", base_version=1)

    assert edited.author_user_id == peer.principal.id
    with pytest.raises(Forbidden):
        await embedded.wiki.remove(again(peer), "duty")
    with pytest.raises(NotFound):
        await embedded.wiki.page(stranger, "duty")
    with pytest.raises(NotFound):
        await embedded.wiki.save(again(stranger), topic="Duty", content="three", base_version=2)
    theirs = await embedded.wiki.save(again(stranger), topic="Duty", content="ours")
    assert theirs.version == 1


@pytest.mark.parametrize("topic", ["", "///", "x" * 121, "…"])
async def test_a_topic_that_is_no_name_is_refused(embedded: House, anna: Turn, topic: str) -> None:
    with pytest.raises(ValidationFailed):
        await embedded.wiki.save(again(anna), topic=topic, content="text")
