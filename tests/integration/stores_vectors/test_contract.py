"""The contract of `Vectors`, run against pgvector in a real PostgreSQL and against Qdrant's in-memory mode."""

from collections.abc import AsyncGenerator, Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest

from aibox.core.errors import BootRefused, Conflict, StateUnavailable
from aibox.core.turn import Turn, system_turn
from aibox.stores import Point, Ranked, Vectors, VectorsSettings
from aibox.stores.vectors import open_vectors
from aibox.stores.vectors.pgvector import PgVectors
from aibox.stores.vectors.qdrant import QdrantVectors
from tests.conftest import Kernel

EAST, NORTH, NORTH_EAST = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]


@pytest.fixture(params=["pgvector", "pgvector, the wide way", "qdrant"])
async def vectors(request: pytest.FixtureRequest, kernel: Kernel) -> AsyncGenerator[Vectors]:
    store: Vectors
    match request.param:
        case "pgvector":
            store = open_vectors(VectorsSettings(), kernel.db, kernel.connections)
        case "qdrant":
            store = QdrantVectors(":memory:")
        case _:  # as with many points, of which a filter leaves many
            store = PgVectors(kernel.db, kernel.connections, few=1, candidates=3)
    async with store.run():
        yield store


@pytest.fixture
def turn() -> Turn:
    return system_turn(uuid4())


def point(vector: list[float], text: str = "", *, id: UUID | None = None, **payload: object) -> Point:
    return Point(id=str(id or uuid4()), vector=vector, text=text, payload=payload)


async def texts_of(vectors: Vectors, turn: Turn, found: Sequence[Ranked], collection: str = "facts") -> list[str]:
    """What the found points say, in their order."""
    ids = [ranked.id for ranked in found]
    texts = {hit.id: hit.text for hit in await vectors.get(turn, collection, filter={}, limit=len(ids) + 1, ids=ids)}
    return [texts[id] for id in ids]


async def test_the_nearest_by_cosine_come_first_with_their_scores(vectors: Vectors, turn: Turn) -> None:
    await vectors.put(turn, "facts", [point(NORTH, "north"), point(EAST, "east"), point(NORTH_EAST, "between")])

    found = await vectors.search(turn, "facts", vector=[2.0, 0.0, 0.0], filter={}, limit=2)

    assert await texts_of(vectors, turn, found) == ["east", "between"]
    assert [round(ranked.score, 3) for ranked in found] == [1.0, 0.707]


async def test_what_is_below_the_threshold_is_not_found(vectors: Vectors, turn: Turn) -> None:
    await vectors.put(turn, "facts", [point(NORTH, "north"), point(NORTH_EAST, "between")])

    found = await vectors.search(turn, "facts", vector=EAST, filter={}, limit=9, threshold=0.3)

    assert await texts_of(vectors, turn, found) == ["between"]


async def test_the_same_id_again_replaces_the_point_whole(vectors: Vectors, turn: Turn) -> None:
    id = uuid4()
    await vectors.put(turn, "facts", [point(EAST, "lives in Bonn", id=id, kind="fact", old=True)])
    await vectors.put(turn, "facts", [point(NORTH, "lives in Kiel", id=id, kind="event")])

    found = await vectors.get(turn, "facts", filter={}, limit=9)

    assert [(hit.id, hit.text, hit.payload) for hit in found] == [(str(id), "lives in Kiel", {"kind": "event"})]
    assert await vectors.keywords(turn, "facts", text="Bonn", filter={}, limit=9) == []


async def test_keywords_find_a_rare_word_that_the_vector_misses(vectors: Vectors, turn: Turn) -> None:
    await vectors.put(
        turn, "facts", [point(EAST, "The pump is a Grundfos MAGNA3."), point(NORTH, "The garden needs water.")]
    )

    found = await vectors.keywords(turn, "facts", text="where is the MAGNA3 | or 'quoted", filter={}, limit=9)

    assert await texts_of(vectors, turn, found) == ["The pump is a Grundfos MAGNA3."]
    assert found[0].score > 0


async def test_a_word_that_no_text_had_is_found_as_soon_as_one_has_it(vectors: Vectors, turn: Turn) -> None:
    await vectors.put(turn, "facts", [point(EAST, "The garden needs water.")])
    assert await vectors.keywords(turn, "facts", text="MAGNA3", filter={}, limit=9) == []

    await vectors.put(turn, "facts", [point(NORTH, "The pump is a MAGNA3.")])

    found = await vectors.keywords(turn, "facts", text="MAGNA3", filter={}, limit=9)
    assert await texts_of(vectors, turn, found) == ["The pump is a MAGNA3."]


async def test_a_rare_word_outranks_a_common_one(vectors: Vectors, turn: Turn) -> None:
    common = [point(EAST, f"pump number {n}") for n in range(20)]
    await vectors.put(turn, "facts", [*common, point(EAST, "valve number 7")])

    found = await vectors.keywords(turn, "facts", text="pump valve", filter={}, limit=2)

    assert (await texts_of(vectors, turn, found))[0] == "valve number 7"


async def test_a_text_with_more_of_the_words_ranks_first(vectors: Vectors, turn: Turn) -> None:
    await vectors.put(
        turn, "facts", [point(EAST, "red apples"), point(EAST, "red apples, green pears"), point(EAST, "blue plums")]
    )

    found = await vectors.keywords(turn, "facts", text="green apples", filter={}, limit=9)

    assert await texts_of(vectors, turn, found) == ["red apples, green pears", "red apples"]


@pytest.mark.parametrize("query", ["", "the of and", "?!", "'; DROP TABLE stores.point; --\x00"])
async def test_a_question_without_words_of_the_texts_finds_nothing(vectors: Vectors, turn: Turn, query: str) -> None:
    await vectors.put(turn, "facts", [point(EAST, "red apples")])

    assert await vectors.keywords(turn, "facts", text=query, filter={}, limit=9) == []


async def test_a_filter_takes_a_value_or_any_of_a_list(vectors: Vectors, turn: Turn) -> None:
    await vectors.put(
        turn,
        "facts",
        [
            point(EAST, "a", user="anna", page=1, shared=True),
            point(EAST, "b", user="ben", page=2, shared=False),
            point(EAST, "c", user="cleo", page=1, shared=False),
        ],
    )

    async def texts(filter: dict[str, object]) -> list[str]:
        found = await vectors.search(turn, "facts", vector=EAST, filter=filter, limit=9)
        return sorted(await texts_of(vectors, turn, found))

    assert await texts({"user": "anna"}) == ["a"]
    assert await texts({"user": ["anna", "cleo"]}) == ["a", "c"]
    assert await texts({"page": 1, "shared": False}) == ["c"]
    assert await texts({"user": "anna' OR '1'='1"}) == []
    assert await texts({"absent": "x"}) == []


async def test_an_empty_list_in_a_filter_matches_nothing(vectors: Vectors, turn: Turn) -> None:
    await vectors.put(turn, "facts", [point(EAST, "secret plan", audience="board")])
    nobody: dict[str, list[str]] = {"audience": []}

    assert await vectors.search(turn, "facts", vector=EAST, filter=nobody, limit=9) == []
    assert await vectors.keywords(turn, "facts", text="plan", filter=nobody, limit=9) == []
    assert await vectors.get(turn, "facts", filter=nobody, limit=9) == []
    assert await vectors.delete(turn, "facts", filter=nobody) == 0
    assert await vectors.get(turn, "facts", filter={}, limit=9, ids=[]) == []


async def test_a_filter_meets_any_element_of_a_listed_payload(vectors: Vectors, turn: Turn) -> None:
    await vectors.put(turn, "facts", [point(EAST, "plan", audience=["board", "sales"]), point(EAST, "open")])

    found = await vectors.search(turn, "facts", vector=EAST, filter={"audience": ["sales", "legal"]}, limit=9)

    assert await texts_of(vectors, turn, found) == ["plan"]
    (hit,) = await vectors.get(turn, "facts", filter={"audience": ["sales", "legal"]}, limit=9)
    assert hit.payload == {"audience": ["board", "sales"]}


@pytest.mark.parametrize("user", ["100 %", "%s %1$L", "a'b", 'a"b', "a\\b", "$1", "{}", "$$; SELECT 1"])
async def test_a_value_of_a_filter_is_never_read_as_anything_else(vectors: Vectors, turn: Turn, user: str) -> None:
    mine = point(EAST, "a pump", user=user)
    await vectors.put(turn, "facts", [mine, point(EAST, "a pump", user="someone else")])

    for _ in range(2):  # the second time the way is remembered
        dense = await vectors.search(turn, "facts", vector=EAST, filter={"user": [user, "nobody"]}, limit=9)
        words = await vectors.keywords(turn, "facts", text="pump", filter={"user": user}, limit=9)
        listed = await vectors.get(turn, "facts", filter={"user": user}, limit=9)
        assert [*(ranked.id for ranked in (*dense, *words)), *(hit.id for hit in listed)] == [mine.id] * 3


async def test_a_common_word_beside_a_rare_one_is_looked_for_when_the_rare_one_brings_too_little(
    kernel: Kernel, turn: Turn
) -> None:
    store = PgVectors(kernel.db, kernel.connections, few=1, candidates=10)
    rows = [point(EAST, f"pump number {n}", readers=["anna" if n % 2 else "ben"]) for n in range(60)]
    await store.put(turn, "facts", [*rows, point(EAST, "the Grundfos pump", readers=["anna"])])

    found = await store.keywords(turn, "facts", text="Grundfos pump", filter={"readers": ["anna"]}, limit=5)

    assert (await texts_of(store, turn, found))[0] == "the Grundfos pump"
    assert len(found) == 5
    hits = await store.get(turn, "facts", filter={}, limit=9, ids=[ranked.id for ranked in found])
    assert all(hit.payload == {"readers": ["anna"]} for hit in hits)


@pytest.mark.parametrize("filter", [{"user": None}, {"user": 0.5}, {"_tenant": "x"}, {"a-b": "x"}, {"user": [None]}])
async def test_a_filter_that_is_not_understood_raises(vectors: Vectors, turn: Turn, filter: dict[str, object]) -> None:
    await vectors.put(turn, "facts", [point(EAST)])

    with pytest.raises(ValueError, match="payload field"):
        await vectors.search(turn, "facts", vector=EAST, filter=filter, limit=9)


async def test_the_newest_come_first_without_a_query(vectors: Vectors, turn: Turn) -> None:
    old = uuid4()
    await vectors.put(turn, "facts", [point(EAST, "first", id=old), point(EAST, "second")])
    await vectors.put(turn, "facts", [point(EAST, "first, corrected", id=old)])

    assert [hit.text for hit in await vectors.get(turn, "facts", filter={}, limit=1)] == ["first, corrected"]
    assert [hit.text for hit in await vectors.get(turn, "facts", filter={}, limit=9, ids=[str(old)])] == [
        "first, corrected"
    ]


async def test_a_patched_right_is_judged_by_at_once(vectors: Vectors, turn: Turn) -> None:
    ids = [uuid4() for _ in range(3)]
    await vectors.put(
        turn,
        "facts",
        [point(EAST, "wind turbine", id=id, item=item, readers=["anna"]) for id, item in zip(ids, "aab", strict=True)],
    )

    assert await vectors.patch(turn, "facts", filter={"item": "a"}, payload={"readers": ["ben"]}) == 2

    async def found_by(reader: str) -> set[str]:
        mine = {"readers": [reader]}
        dense = await vectors.search(turn, "facts", vector=EAST, filter=mine, limit=9)
        words = await vectors.keywords(turn, "facts", text="turbines", filter=mine, limit=9)
        listed = await vectors.get(turn, "facts", filter=mine, limit=9)
        assert {hit.id for hit in dense} == {hit.id for hit in words} == {hit.id for hit in listed}
        return {hit.id for hit in dense}

    assert await found_by("ben") == {str(id) for id in ids[:2]}
    assert await found_by("anna") == {str(ids[2])}
    assert await vectors.patch(turn, "none", filter={"item": "a"}, payload={"readers": []}) == 0
    stranger = system_turn(uuid4())
    assert await vectors.patch(stranger, "facts", filter={}, payload={"readers": ["eve"]}) == 0


async def test_vectors_are_given_out_by_id_within_the_tenant(vectors: Vectors, turn: Turn) -> None:
    id = uuid4()
    await vectors.put(turn, "facts", [point([0.6, 0.8, 0.0], id=id)])

    (known,) = (await vectors.vectors(turn, "facts", [str(id), str(uuid4())])).items()

    assert known[0] == str(id)
    assert [round(number, 3) for number in known[1]] == [0.6, 0.8, 0.0]
    assert await vectors.vectors(system_turn(uuid4()), "facts", [str(id)]) == {}
    assert await vectors.vectors(turn, "none", [str(id)]) == {}


async def test_few_points_that_pass_the_filter_are_found_among_many_that_do_not(vectors: Vectors, turn: Turn) -> None:
    """Nearer and better worded points fill what an index looks at first; the filter must not starve the query."""
    many = [point([1.0, n / 1e4, 0.0], "pump pump valve", readers=["other"]) for n in range(300)]
    await vectors.put(turn, "facts", [*many, point(NORTH, "a pump among other things", readers=["anna"])])
    mine = {"readers": ["anna"]}

    for _ in range(2):  # the second time the way is remembered
        dense = await vectors.search(turn, "facts", vector=EAST, filter=mine, limit=5)
        words = await vectors.keywords(turn, "facts", text="pump", filter=mine, limit=5)
        for found in (dense, words):
            assert await texts_of(vectors, turn, found) == ["a pump among other things"]


async def test_another_tenant_neither_finds_nor_overwrites_nor_deletes(vectors: Vectors, turn: Turn) -> None:
    id = uuid4()
    stranger = system_turn(uuid4())
    await vectors.put(turn, "facts", [point(EAST, "our secret", id=id, user="anna")])
    await vectors.put(stranger, "facts", [point(EAST, "their idea", id=id, user="anna")])

    async def seen(by: Turn) -> list[str]:
        dense = await vectors.search(by, "facts", vector=EAST, filter={"user": "anna"}, limit=9)
        words = await vectors.keywords(by, "facts", text="secret idea", filter={}, limit=9)
        listed = await vectors.get(by, "facts", filter={}, limit=9, ids=[str(id)])
        return [*await texts_of(vectors, by, dense), *await texts_of(vectors, by, words), *(hit.text for hit in listed)]

    assert await seen(turn) == ["our secret"] * 3
    assert await seen(stranger) == ["their idea"] * 3
    assert await vectors.delete(stranger, "facts", ids=[str(id)], filter={"user": "anna"}) == 1
    assert await seen(stranger) == []
    assert await seen(turn) == ["our secret"] * 3


async def test_delete_removes_by_id_by_filter_or_by_both(vectors: Vectors, turn: Turn) -> None:
    ids = [uuid4() for _ in range(4)]
    await vectors.put(turn, "facts", [point(EAST, id=id, user=user) for id, user in zip(ids, "aabb", strict=True)])

    assert await vectors.delete(turn, "facts", ids=[str(ids[0])], filter={"user": "b"}) == 0
    assert await vectors.delete(turn, "facts", ids=[str(ids[0]), str(uuid4())]) == 1
    assert await vectors.delete(turn, "facts", filter={"user": "b"}) == 2
    assert [hit.id for hit in await vectors.get(turn, "facts", filter={}, limit=9)] == [str(ids[1])]
    with pytest.raises(ValueError, match="ids or a filter"):
        await vectors.delete(turn, "facts")


async def test_a_vector_of_another_size_conflicts_until_the_collection_is_dropped(vectors: Vectors, turn: Turn) -> None:
    stranger = system_turn(uuid4())
    await vectors.put(turn, "facts", [point(EAST)])
    await vectors.put(stranger, "facts", [point(EAST)])

    with pytest.raises(Conflict):
        await vectors.put(stranger, "facts", [point([1.0, 0.0])])
    with pytest.raises(Conflict):
        await vectors.search(turn, "facts", vector=[1.0, 0.0], filter={}, limit=9)
    assert await vectors.dimension("facts") == 3

    await vectors.drop("facts")

    assert await vectors.dimension("facts") is None
    await vectors.put(turn, "facts", [point([1.0, 0.0], "rebuilt")])
    assert [hit.text for hit in await vectors.get(turn, "facts", filter={}, limit=9)] == ["rebuilt"]


async def test_a_collection_that_is_not_there_yet_is_empty(vectors: Vectors, turn: Turn) -> None:
    assert await vectors.search(turn, "none", vector=EAST, filter={}, limit=9) == []
    assert await vectors.keywords(turn, "none", text="apples", filter={}, limit=9) == []
    assert await vectors.get(turn, "none", filter={}, limit=9) == []
    assert await vectors.delete(turn, "none", filter={}) == 0
    await vectors.drop("none")


@pytest.mark.parametrize("name", ["", "a;b", "Ä", "../x", "x" * 64, "*"])
async def test_an_odd_collection_name_is_refused(vectors: Vectors, turn: Turn, name: str) -> None:
    with pytest.raises(ValueError, match="collection"):
        await vectors.get(turn, name, filter={}, limit=9)


async def test_a_common_size_is_found_through_its_index_among_other_tenants(kernel: Kernel, turn: Turn) -> None:
    owner = await asyncpg.connect(kernel.urls.owner)
    database = await owner.fetchval("SELECT current_database()")
    await owner.execute(f"ALTER DATABASE {database} SET enable_seqscan = off")  # what the planner does with more rows
    store = open_vectors(VectorsSettings(), kernel.db, kernel.connections)
    stranger = system_turn(uuid4())
    one, other = [1.0] + [0.0] * 383, [0.9, 0.1] + [0.0] * 382
    await store.put(stranger, "facts", [point([1.0, n / 1e6] + [0.0] * 382, f"theirs {n}") for n in range(300)])
    await store.put(turn, "facts", [point(other, "ours")])
    await owner.execute(
        "ALTER TABLE stores.point DROP CONSTRAINT point_pkey CASCADE"
    )  # leaves only the index by distance
    await owner.close()

    found = await store.search(turn, "facts", vector=one, filter={}, limit=5)

    assert await texts_of(store, turn, found) == ["ours"]


async def test_a_qdrant_that_is_away_is_unavailable(turn: Turn, kernel: Kernel) -> None:
    store = open_vectors(VectorsSettings(url="qdrant://127.0.0.1:9"), kernel.db, kernel.connections)
    async with store.run():
        with pytest.raises(StateUnavailable):
            await store.put(turn, "facts", [point(EAST)])


async def test_an_unknown_scheme_refuses_the_start(kernel: Kernel) -> None:
    with pytest.raises(BootRefused) as refused:
        open_vectors(VectorsSettings(url="chroma://host"), kernel.db, kernel.connections)

    assert refused.value.code == "boot_vectors"
