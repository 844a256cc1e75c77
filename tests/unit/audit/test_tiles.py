"""The places of tiles, as c2sp.org/tlog-tiles has them."""

import pytest

from aibox.audit.tiles import Tile, bundle, tiles
from aibox.core.errors import NotFound


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 67, 8), "tile/0/067.p/8"),
        (Tile(2, 1234067), "tile/2/x001/x234/067"),
        (Tile("entries", 1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_a_tile_has_its_path_and_a_path_its_tile(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/0000",
        "tile/0/001/002",
        "tile/0/x000/001",
        "tile/8/000",
        "tile/00/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/08",
        "tile/0/../000",
        "tile/0/000/",
        "tile/data/000",
        "tile/0/" + "x999/" * 9 + "999",
        "",
    ],
)
def test_a_path_of_another_spelling_is_of_no_tile(path: str) -> None:
    with pytest.raises(NotFound):
        Tile.parse(path)


def test_the_spec_s_example_log_has_its_tiles() -> None:
    """A log of 70,000 entries: 273 whole tiles and one of 112 at level 0, 1 and one of 17 at level 1, one of 1 at 2."""
    made = [tile.path for tile in tiles(70_000)]

    assert [path for path in made if path.startswith("tile/0/")][-2:] == ["tile/0/272", "tile/0/273.p/112"]
    assert [path for path in made if path.startswith("tile/1/")] == ["tile/1/000", "tile/1/001.p/17"]
    assert [path for path in made if path.startswith("tile/2/")] == ["tile/2/000.p/1"]
    assert not [path for path in made if path.startswith("tile/3/")]
    assert sum(path.startswith("tile/entries/") for path in made) == 274


@pytest.mark.parametrize("step", [1, 3, 255, 256, 257, 5000])
def test_what_is_added_step_by_step_is_all_there_is_and_nothing_twice(step: int) -> None:
    added: list[Tile] = []
    for size in range(step, 70_000 if step > 3 else 700, step):
        added += tiles(size, since=size - step)
        whole = [tile for tile in tiles(size) if tile.width == 256]
        assert {tile for tile in added if tile.width == 256} == set(whole)
        assert all(tile.is_in(size) for tile in added)
        assert set(tiles(size)) <= set(added)
    assert len(added) == len(set(added))


def test_a_bundle_holds_each_entry_after_its_length() -> None:
    assert bundle([b"ab", b"", b"x" * 258]) == b"\0\2ab\0\0\1\2" + b"x" * 258
