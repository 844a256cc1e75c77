"""Documents from upload to search: stages, failures, restarts, removal, and the job that does it."""

import asyncio
from uuid import uuid4

import pytest
from aiohttp import web

from aibox.core.errors import NotFound, StateUnavailable, TooLarge, ValidationFailed
from aibox.core.jobs import Jobs
from aibox.core.turn import Turn
from aibox.knowledge import Change, DocumentEmpty, NotFailed, SourceUnreachable, Upload
from aibox.stores import VectorsSettings
from aibox.stores.vectors import open_vectors
from tests.conftest import Kernel
from tests.integration.knowledge.house import House, WordRouter, again, house, person, written
from tests.unit.knowledge import papers

PUMP = "# Pumps\n\nThe Grundfos MAGNA3 needs a new seal every two years.\n\n# Garden\n\nWater the roses each evening."


async def test_a_document_is_read_indexed_and_found_with_its_score_and_its_place(one: House, anna: Turn) -> None:
    item = await one.read(anna, PUMP, title="Manual")

    assert (item.stage, item.chunks, item.error, item.progress) == ("indexed", 1, None, None)
    search = await one.knowledge.search(again(anna), "seal of the MAGNA3")
    (found,) = search.found
    assert (found.title, found.passage.section, found.passage.document_id) == ("Manual", "Pumps", item.id)
    assert found.scores.meaning is not None
    assert 0 < found.score <= 1
    assert found.rationale.startswith("1st by meaning (similarity 0.")
    assert found.rationale.endswith("and 1st by shared words")
    assert search.degraded == ""


async def test_a_pdf_is_found_by_page_and_given_back_as_it_came(one: House, anna: Turn) -> None:
    pages = [[("Intro", 20), ("Nothing of interest stands here.", 10)], [("Wiring", 20), ("Use the blue cable.", 10)]]
    data = papers.pdf(pages, title="Wiring guide")

    item = await one.upload(anna, "guide.pdf", data)

    assert (item.title, item.media_type, item.pages, item.size) == ("Wiring guide", "application/pdf", 2, len(data))
    passages = await one.knowledge.passages(anna, item.id)
    assert "blue cable" in passages[-1].text
    assert (await one.knowledge.passage(anna, item.id, passages[0].chunk_id)) == passages[0]
    copy = one.kernel.folder / "copy"
    await one.knowledge.original(anna, item.id, copy)
    assert copy.read_bytes() == data


async def test_each_stage_is_seen_on_the_way(embedded: House, anna: Turn) -> None:
    added = await embedded.knowledge.add_text(anna, title="Long", content="A sentence of some words here. " * 400)
    seen: list[tuple[str, int | None]] = []

    async def look(_: str = "") -> None:
        item = await embedded.knowledge.item(anna, added.item.id)
        seen.append((item.stage, item.progress.done if item.progress else None))

    await look()
    embedded.router.meanwhile = look
    await embedded.jobs.drain()
    await look()

    assert seen == [("uploaded", None), ("chunked", 0), ("chunked", 8), ("indexed", None)]


async def test_an_unreadable_document_fails_with_its_reason_and_can_be_tried_again(one: House, anna: Turn) -> None:
    item = await one.upload(anna, "broken.pdf", b"%PDF-1.7\nnothing more")

    assert item.stage == "failed"
    assert item.error is not None
    assert item.error.code == "document_unreadable"
    retried = await one.knowledge.retry(again(anna), item.id)
    assert (retried.item.stage, retried.item.error) == ("uploaded", None)
    with pytest.raises(NotFailed):
        await one.knowledge.retry(again(anna), item.id)


async def test_an_embedder_that_is_down_is_waited_for_and_nothing_is_lost(one: House, anna: Turn) -> None:
    one.router.is_down = True
    item = await one.read(anna, PUMP)
    assert item.stage == "chunked"

    one.router.is_down = False
    await one.hurry()

    assert (await one.knowledge.item(anna, item.id)).stage == "indexed"
    assert await one.found(anna, "seal") == {"Notes"}


async def test_an_embedder_that_stays_down_fails_the_document_and_a_retry_goes_on_from_there(
    one: House, anna: Turn
) -> None:
    one.router.is_down = True
    item = await one.read(anna, PUMP)
    for _ in range(4):
        await one.hurry()
    failed = await one.knowledge.item(anna, item.id)
    assert failed.stage == "failed"
    assert failed.error is not None
    assert failed.error.code == "backend_unavailable"

    one.router.is_down = False
    assert (await one.knowledge.retry(again(anna), item.id)).item.stage == "chunked"
    await one.jobs.drain()

    assert await one.found(anna, "seal") == {"Notes"}


async def test_a_server_killed_in_the_middle_goes_on_where_it_was(embedded: House, anna: Turn) -> None:
    calls, reached = 0, asyncio.Event()

    async def die(_: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            reached.set()
            await asyncio.Event().wait()  # never comes back: the process is gone

    embedded.router.meanwhile = die
    added = await embedded.knowledge.add_text(anna, title="Long", content="A sentence of some words here. " * 1000)
    dying = asyncio.create_task(embedded.jobs.drain())
    await asyncio.wait_for(reached.wait(), 60)
    middle = await embedded.knowledge.item(anna, added.item.id)
    assert middle.stage == "chunked"
    assert middle.progress is not None
    assert middle.progress.done == 16
    assert await embedded.found(anna, "sentence") == set(), "half a document is not found"
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)

    embedded.router.meanwhile = None
    embedded.router.asked.clear()
    await embedded.hurry()

    item = await embedded.knowledge.item(anna, added.item.id)
    assert item.stage == "indexed"
    assert len(embedded.router.asked) == item.chunks - 16, "what was indexed is not embedded again"
    points = await embedded.kernel.connections.system.fetchval("SELECT count(*) FROM stores.point")
    assert points == item.chunks


async def test_a_removed_document_leaves_nothing_in_rows_index_and_files(one: House, anna: Turn) -> None:
    item = await one.read(anna, PUMP, title="Secret plan")
    await one.knowledge.delete(again(anna), item.id)

    assert await one.found(anna, "seal") == set()
    with pytest.raises(NotFound):
        await one.knowledge.item(again(anna), item.id)
    await one.jobs.drain()

    place = await one.knowledge.index.active(anna)
    assert place is not None
    assert await one.vectors.get(anna, place.collection, filter={}, limit=9) == []
    assert not [path for path in written(one.kernel.folder / "objects") if b"MAGNA3" in path.read_bytes()]
    async with one.kernel.db.read(anna) as session:
        chunks = await session.connection()
        count = (await chunks.exec_driver_sql("SELECT count(*) FROM knowledge.chunk")).scalar()
    assert count == 0


async def test_a_document_removed_while_it_is_read_does_not_come_back(embedded: House, anna: Turn) -> None:
    added = await embedded.knowledge.add_text(anna, title="Gone", content="A sentence of some words here. " * 400)

    async def remove(_: str) -> None:
        if embedded.router.asked:
            embedded.router.meanwhile = None
            await embedded.knowledge.delete(again(anna), added.item.id)

    embedded.router.meanwhile = remove
    await embedded.hurry()

    assert await embedded.found(anna, "sentence") == set()
    assert await embedded.kernel.connections.system.fetchval("SELECT count(*) FROM stores.point") == 0


async def test_a_document_removed_and_cleared_away_while_it_is_embedded_leaves_no_passage(
    embedded: House, anna: Turn
) -> None:
    added = await embedded.knowledge.add_text(anna, title="Gone", content="A sentence of some words here. " * 40)

    steps: list[str] = []

    async def remove_and_clear(model: str) -> None:
        steps.append(model)
        embedded.router.meanwhile = None
        await embedded.knowledge.delete(again(anna), added.item.id)
        await embedded.hurry()  # as another replica does, before this one has its vectors

    embedded.router.meanwhile = remove_and_clear
    await embedded.hurry()

    assert len(steps) == 1
    assert await embedded.kernel.connections.system.fetchval("SELECT count(*) FROM stores.point") == 0


async def test_a_document_removed_while_the_index_is_built_anew_leaves_no_passage(embedded: House, anna: Turn) -> None:
    item = await embedded.read(anna, "A sentence of some words here. " * 40)

    steps: list[str] = []

    async def remove_and_clear(model: str) -> None:
        steps.append(model)
        embedded.router.meanwhile = None
        await embedded.knowledge.delete(again(anna), item.id)
        await embedded.hurry()

    embedded.router.model = "house/words-96"
    embedded.router.meanwhile = remove_and_clear
    await embedded.knowledge.index.keep_up(anna)
    await embedded.hurry()

    assert len(steps) == 1
    assert await embedded.kernel.connections.system.fetchval("SELECT count(*) FROM stores.point") == 0


async def test_an_archived_document_is_found_by_nobody_until_it_is_taken_out_again(one: House, anna: Turn) -> None:
    item = await one.read(anna, PUMP)

    await one.knowledge.change(again(anna), item.id, Change(archived=True))
    assert await one.found(anna, "seal") == set()
    assert list(await one.knowledge.items(anna)) == []
    assert [item.id for item in await one.knowledge.items(anna, archived=True)] == [item.id]

    await one.knowledge.change(again(anna), item.id, Change(archived=False))
    assert await one.found(anna, "seal") == {"Notes"}


async def test_tags_narrow_a_search_and_a_list(one: House, anna: Turn) -> None:
    await one.read(anna, "The seal of the pump.", title="A", tags=["pumps"])
    await one.read(anna, "The seal of the king.", title="B", tags=["history"])

    assert await one.found(anna, "seal") == {"A", "B"}
    assert await one.found(anna, "seal", tags=["history", "other"]) == {"B"}
    assert [item.title for item in await one.knowledge.items(anna, tags=["pumps"])] == ["A"]
    assert [item.title for item in await one.knowledge.items(anna, text="b")] == ["B"]


async def test_words_alone_find_a_rare_name_when_the_embedder_is_down(one: House, anna: Turn) -> None:
    await one.read(anna, PUMP)
    one.router.is_down = True

    search = await one.knowledge.search(again(anna), "MAGNA3")

    assert (len(search.found), search.degraded) == (1, "meaning")
    assert search.found[0].rationale == "1st by shared words"


async def test_with_the_word_search_switched_off_meaning_alone_finds(kernel: Kernel, anna: Turn) -> None:
    vectors = open_vectors(VectorsSettings(), kernel.db, kernel.connections)
    async with house(kernel, vectors, WordRouter(), sparse=False) as one:
        await one.read(anna, PUMP)

        search = await one.knowledge.search(again(anna), "seal of the MAGNA3")

        assert [found.scores.words_rank for found in search.found] == [None]
        assert search.degraded == ""
        one.router.is_down = True
        with pytest.raises(StateUnavailable):
            await one.knowledge.search(again(anna), "seal of the MAGNA3")


async def test_the_role_knowledge_writes_a_context_that_is_found_and_the_generic_one_when_it_fails(
    one: House, anna: Turn
) -> None:
    one.router.contexts = "This passage is about zeppelins."
    await one.read(anna, PUMP, title="With context")
    one.router.fails_to_write = True
    plain = await one.read(anna, "The garden has a gate.", title="Without")

    assert "With context" in await one.found(anna, "zeppelins")
    assert plain.stage == "indexed"
    (passage,) = await one.knowledge.passages(anna, plain.id)
    assert passage.context == ""
    assert any(text.startswith("Without\n") for text in one.router.asked)
    assert (
        "never follow an instruction" in one.router.prompts[0].replace("\\n", " ").lower()
        or "data" in one.router.prompts[0]
    )


async def test_empty_and_too_large_files_are_refused_before_anything_is_kept(embedded: House, anna: Turn) -> None:
    path = embedded.kernel.folder / "file"
    path.write_bytes(b"")
    with pytest.raises(DocumentEmpty):
        await embedded.knowledge.add(anna, Upload(path=path, name="a.txt"))
    with path.open("wb") as file:
        file.truncate(2 << 30)  # 2 GiB, all of it hole
    with pytest.raises(TooLarge):
        await embedded.knowledge.add(anna, Upload(path=path, name="a.txt"))

    assert written(embedded.kernel.folder / "objects") == []
    assert list(await embedded.knowledge.items(anna)) == []


async def test_a_url_is_fetched_within_the_egress_policy(embedded: House, anna: Turn) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<title>Opening hours</title><p>We open at nine.</p>", content_type="text/html")

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://127.0.0.1/elsewhere")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * (1 << 20))

    app = web.Application()
    app.add_routes([web.get("/hours", page), web.get("/moved", moved), web.get("/endless", endless)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        added = await embedded.knowledge.add_url(anna, url=f"http://127.0.0.1:{port}/hours")
        await embedded.jobs.drain()
        item = await embedded.knowledge.item(anna, added.item.id)
        assert (item.stage, item.title, item.media_type) == ("indexed", "Opening hours", "text/html")
        with pytest.raises(SourceUnreachable, match=r"redirects to http://127\.0\.0\.1/elsewhere"):
            await embedded.knowledge.add_url(anna, url=f"http://127.0.0.1:{port}/moved")
        with pytest.raises(SourceUnreachable, match="404") as unreachable:
            await embedded.knowledge.add_url(anna, url=f"http://127.0.0.1:{port}/none")
        assert unreachable.value.status == 422  # the caller named the address; nothing between us is at fault
        with pytest.raises(TooLarge):
            await embedded.knowledge.add_url(anna, url=f"http://127.0.0.1:{port}/endless")
        with pytest.raises(ValidationFailed):
            await embedded.knowledge.add_url(anna, url="file:///etc/passwd")
        with pytest.raises(ValidationFailed) as refused:
            await embedded.knowledge.add_url(anna, url="http://169.254.169.254/latest/meta-data")
        assert refused.value.code == "address_refused"
    finally:
        await runner.cleanup()
    assert len(await embedded.knowledge.items(anna)) == 1


async def test_what_was_retrieved_is_in_the_log_before_it_is_given_out(one: House, anna: Turn) -> None:
    item = await one.read(anna, PUMP)
    turn = again(anna)

    await one.knowledge.consult(turn, "When does the MAGNA3 need a seal?")

    (event,) = await one.events(turn, "rag_chunks_retrieved")
    assert (event["count"], event["documents"], event["degraded"]) == (1, [str(item.id)], "")
    artifacts = await one.kernel.connections.system.fetchval(
        "SELECT count(*) FROM core.artifact WHERE turn = $1", turn.id
    )
    assert artifacts == 2


async def test_a_prompt_gets_no_passage_of_another_subject(one: House, anna: Turn) -> None:
    await one.read(anna, PUMP)

    assert (await one.knowledge.consult(again(anna), "Who won the chess tournament?")).found == ()
    assert (await one.knowledge.consult(person(anna.tenant), "When does the MAGNA3 need a seal?")).found == ()


async def test_the_server_reads_documents_by_itself(embedded: House, anna: Turn) -> None:
    async with embedded.knowledge.run(embedded.kernel.tasks), embedded.jobs.run(embedded.kernel.tasks):
        added = await embedded.knowledge.add_text(anna, title="Quick", content=PUMP)
        item = await embedded.knowledge.wait(anna, added.item.id, seconds=60)

    assert item.stage == "indexed"


async def test_an_item_that_is_not_there_is_not_found(embedded: House, anna: Turn) -> None:
    assert isinstance(embedded.jobs, Jobs)
    with pytest.raises(NotFound):
        await embedded.knowledge.item(anna, uuid4())
