"""The short form of `make crash`: twenty violent ends, and a check that would see what they broke."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.crash import outside
from tests.crash.server import kill_servers
from tests.crash.world import World, short_folder, world

KILLS = 18
SERVERS = 2

ENDED = "(SELECT turn FROM core.turn WHERE outcome = 'sealed' LIMIT 1)"
HARM = [
    ("I1", f"DELETE FROM core.event WHERE seq = 1 AND turn = {ENDED}"),
    ("I1", "UPDATE core.event SET data = data || ' ' WHERE row_id = (SELECT min(row_id) FROM core.event)"),
    ("I2", "UPDATE core.turn SET state = 'ended' WHERE turn = (SELECT turn FROM audit.entry WHERE idx = 1 LIMIT 1)"),
    ("I3", "UPDATE audit.entry SET idx = idx + 1000 WHERE idx = (SELECT max(idx) FROM audit.entry)"),
    ("I4", "DELETE FROM audit.entry WHERE idx = (SELECT max(idx) FROM audit.entry)"),
    ("I5", "DELETE FROM core.event WHERE seq = 2"),
    ("I6", "UPDATE audit.node SET hash = sha256('x') WHERE level = 3 AND idx = 1"),
    ("I6", "UPDATE audit.log SET link = sha256('x')"),
]
"""What a loss or a change of each kind looks like in the tables, and the invariant that it breaks."""


@pytest.fixture
def folder() -> Generator[Path]:
    """A folder of the test's own, for databases that are killed or copied."""
    with short_folder() as made:
        yield made


@pytest.fixture
async def one(folder: Path) -> AsyncGenerator[World]:
    async with world(folder / "w", seed=20) as made:
        yield made


@pytest.mark.timeout(300)
async def test_eighteen_kills_of_process_and_database_lose_nothing_that_was_acknowledged(one: World) -> None:
    while one.killed < KILLS:
        await one.live_and_die()

    assert await one.judge() == []
    assert len(one.told.ended) > 100
    assert one.told.acts.keys()


async def test_the_check_from_outside_sees_what_is_lost_or_altered(one: World) -> None:
    while len(one.told.ended) < 60:
        await one.live_and_die()
    assert await one.judge() == []

    connection = await one.connect()
    for invariant, statement in HARM:
        harm = connection.transaction()
        await harm.start()
        await connection.execute(statement)
        wrong = await outside.check(connection, one.folder / "objects", one.told)
        await harm.rollback()
        assert invariant in {sentence.split(":")[0] for sentence in wrong}, statement
    await connection.close()


@pytest.mark.timeout(300)
async def test_two_kills_of_the_whole_server_lose_nothing_that_was_answered(folder: Path) -> None:
    report, wrong = await kill_servers(folder / "s", kills=SERVERS, seed=21)

    assert wrong == []
    assert report["kills"] == SERVERS
    assert report["acknowledged_turns"] > 10
