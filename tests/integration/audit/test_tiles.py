"""The log as files: whoever has the tiles and a checkpoint computes the root that was signed, entry by entry."""

import struct

import pytest

from aibox.audit import notes
from aibox.audit.tiles import Tile, tiles
from aibox.audit.verifier import leaf_hash, tree_root
from aibox.core.errors import NotFound
from tests.integration.audit.conftest import ANN, STRANGER, Bench

Files = dict[str, bytes]


async def published(bench: Bench) -> Files:
    """Everything in the log's folder of the object store, by its path there."""
    keys = [key async for key in bench.objects.keys("audit/")]
    return {"/".join(key.split("/")[4:]): (await bench.objects.get(key)).data for key in keys}


def entries_of(files: Files, size: int) -> list[bytes]:
    entries = []
    for tile in tiles(size):
        data = files[tile.path] if tile.level == "entries" else b""
        while data:
            (length,) = struct.unpack(">H", data[:2])
            entries.append(data[2 : 2 + length])
            data = data[2 + length :]
    return entries


def subtree_roots(entries: list[bytes], tile: Tile) -> bytes:
    """What a hash tile must hold: the root of each whole subtree that it stands for."""
    leaves, width = [leaf_hash(entry) for entry in entries], 1 << 8 * int(tile.level)
    places = range(tile.begin, tile.begin + tile.width)
    return b"".join(tree_root(leaves[place * width : (place + 1) * width]) for place in places)


async def test_the_files_of_a_log_are_all_that_an_auditor_needs(bench: Bench) -> None:
    await bench.many(300)
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()

    files = await published(bench)

    head = notes.parse_checkpoint(files["checkpoint"].decode())
    entries = entries_of(files, head.size)
    assert len(entries) == head.size > 300
    assert tree_root(map(leaf_hash, entries)) == head.root
    hashes = [tile for tile in tiles(head.size) if isinstance(tile.level, int)]
    assert [tile.path for tile in hashes] == ["tile/0/000", f"tile/0/001.p/{head.size - 256}", "tile/1/000.p/1"]
    assert all(files[tile.path] == subtree_roots(entries, tile) for tile in hashes)


async def test_a_whole_tile_takes_the_place_of_its_parts(bench: Bench) -> None:
    for count in (3, 4, 260):
        await bench.many(count)
        await bench.audit.sealer.seal_pending()
        await bench.audit.copy_heads_out()

    files = await published(bench)

    size = notes.parse_checkpoint(files["checkpoint"].decode()).size
    assert {path for path in files if path.startswith("tile/")} == {tile.path for tile in tiles(size)}


async def test_a_tile_is_served_as_it_is_in_the_store_for_every_size_the_log_had(bench: Bench) -> None:
    turn = await bench.ended()
    await bench.many(5)
    await bench.audit.sealer.seal_pending()
    await bench.audit.copy_heads_out()
    log = (await bench.audit.receipt(turn, turn.id)).log or ""
    log_id = log.split("/")[-2]

    files = await published(bench)
    for path in ("tile/0/000.p/7", "tile/entries/000.p/7"):
        assert await bench.audit.tile(turn, log_id, path) == files[path]
    assert await bench.audit.tile(turn, log_id, "tile/0/000.p/3") == files["tile/0/000.p/7"][:96]


@pytest.mark.parametrize(
    "path", ["tile/0/000", "tile/0/000.p/8", "tile/1/000.p/1", "tile/0/001.p/1", "tile/entries/x001/000", "checkpoint"]
)
async def test_a_tile_that_the_log_does_not_have_yet_is_not_there(bench: Bench, path: str) -> None:
    turn = await bench.ended()
    await bench.many(5)
    await bench.audit.sealer.seal_pending()
    log_id = ((await bench.audit.receipt(turn, turn.id)).log or "").split("/")[-2]

    with pytest.raises(NotFound):
        await bench.audit.tile(turn, log_id, path)


async def test_a_stranger_has_no_tile_of_anothers_log(bench: Bench) -> None:
    turn = await bench.ended(ANN)
    theirs = await bench.ended(STRANGER)
    await bench.audit.sealer.seal_pending()
    log_id = ((await bench.audit.receipt(turn, turn.id)).log or "").split("/")[-2]

    with pytest.raises(NotFound):
        await bench.audit.tile(theirs, log_id, "tile/0/000.p/1")
