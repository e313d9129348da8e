from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.audit.merkle import (
    MAX_SIZE,
    Node,
    Plan,
    assemble,
    consistency_nodes,
    inclusion_nodes,
    leaf_hash,
    node_hash,
    root_nodes,
    verify_inclusion,
)
from subgraph.audit.tiles import (
    MAX_TILE_LEVEL,
    TILE_WIDTH,
    Tile,
    new_tiles,
    node_in,
    split,
    tile_of,
    tile_root,
    tiles,
)
from tests.audit import reference_tree as reference
from tests.audit.reference_tree import LEAVES, entry, hash_of, mth

anywhere = st.builds(
    Tile,
    st.integers(0, MAX_TILE_LEVEL),
    st.integers(0, MAX_SIZE) | st.integers(0, 1002),
    st.integers(1, TILE_WIDTH),
)
huge = st.integers(1, MAX_SIZE) | st.integers(0, 62).map(lambda level: 2**level)


@cache
def stored(size: int) -> dict[Tile, bytes]:
    """The files of a tree, as its log would serve them."""
    return {tile: b"".join(map(hash_of, tile.nodes)) for tile in tiles(size)}


def from_tiles(plan: Plan, size: int) -> tuple[bytes, ...]:
    files = stored(size)
    hashes = {node: node_in(split(files[tile_of(node, size)]), node) for node in plan.nodes}
    return assemble(plan, hashes)


def test_a_tree_has_the_tiles_of_the_specifications_examples() -> None:
    found = list(tiles(70_000))
    assert found[:273] == [Tile(0, index) for index in range(273)]
    assert found[273:] == [Tile(0, 273, 112), Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles(256)) == [Tile(0, 0), Tile(1, 0, 1)]


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (0, []),
        (1, [Tile(0, 0, 1)]),
        (255, [Tile(0, 0, 255)]),
        (257, [Tile(0, 0), Tile(0, 1, 1), Tile(1, 0, 1)]),
        (512, [Tile(0, 0), Tile(0, 1), Tile(1, 0, 2)]),
    ],
)
def test_no_tile_is_empty(size: int, found: list[Tile]) -> None:
    assert list(tiles(size)) == found


def test_a_tree_of_two_full_levels_has_one_hash_above_them() -> None:
    found = list(tiles(TILE_WIDTH**2))
    assert found == [*(Tile(0, index) for index in range(TILE_WIDTH)), Tile(1, 0), Tile(2, 0, 1)]


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_new_tiles_are_those_that_the_older_tree_did_not_have(one: int, other: int) -> None:
    old_size, new_size = sorted((one, other))
    assert set(new_tiles(old_size, new_size)) == set(tiles(new_size)) - set(tiles(old_size))


@pytest.mark.parametrize(("old", "new"), [(-1, 5), (6, 5), (0, MAX_SIZE + 1), (0, -1)])
def test_sizes_out_of_bounds_have_no_tiles(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="leaves"):
        new_tiles(old, new)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(7, 999, 255), "tile/7/999.p/255"),
        (Tile(1, 1000), "tile/1/x001/000"),
        (Tile(63, MAX_SIZE, 255), "tile/63/x009/x223/x372/x036/x854/x775/807.p/255"),
    ],
)
def test_a_tile_has_its_path(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert Tile.parse(path) == tile


@given(anywhere)
def test_a_path_reads_back_as_its_tile(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/",
        "tile/0/67",
        "tile/0/0067",
        "tile/0/x067",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/0/x000/067",
        "tile/0/x000/x001/067",
        "tile/00/067",
        "tile/64/067",
        "tile/-1/067",
        "tile/+1/067",
        "tile/0/067/",
        "/tile/0/067",
        "tile/0/067.p/0",
        "tile/0/067.p/01",
        "tile/0/067.p/256",
        "tile/0/067.p/1000",
        "tile/0/067.p/",
        "tile/0/067.p",
        "tile/0/067.p/1/2",
        "tile/0/067\n",
        "tile/0/\u0660\u0666\u0667",
        "tile/0/../067",
        "tile/entries/067",
        "tile/8/0/067",
        "TILE/0/067",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/x001/x009/x223/x372/x036/x854/x775/807",
        "tile/0/" + "x001/" * 100_000 + "067",
    ],
)
def test_any_other_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="tile"):
        Tile.parse(path)


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, MAX_SIZE + 1, 1), (0, 0, 0), (0, 0, 257)],
)
def test_a_tile_out_of_bounds_is_refused(level: int, index: int, width: int) -> None:
    with pytest.raises(ValueError, match="within"):
        Tile(level, index, width)


@given(st.integers(1, LEAVES), st.data())
def test_a_tile_gives_the_hash_of_every_subtree_that_it_holds(size: int, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, size.bit_length() - 1))
    node = Node(level, data.draw(st.integers(0, (size >> level) - 1)))
    tile = tile_of(node, size)
    assert node_in(split(stored(size)[tile]), node) == hash_of(node)
    assert tile_of(node) == Tile(tile.level, tile.index)


@given(st.integers(1, LEAVES), st.data())
def test_proofs_are_made_of_tiles(size: int, data: st.DataObject) -> None:
    seq = data.draw(st.integers(0, size - 1))
    proof = from_tiles(inclusion_nodes(seq, size), size)
    assert proof == reference.path(seq, 0, size)
    verify_inclusion(leaf_hash(entry(seq)), seq, size, proof, mth(0, size))
    assert from_tiles(consistency_nodes(seq + 1, size), size) == reference.proof(seq + 1, size)
    assert from_tiles(root_nodes(size), size) == (mth(0, size),)


@given(huge, st.data())
def test_each_node_of_a_huge_tree_has_its_tile(size: int, data: st.DataObject) -> None:
    seq = data.draw(st.integers(0, size - 1))
    plans = (inclusion_nodes(seq, size), consistency_nodes(seq, size), root_nodes(size))
    for node in {node for plan in plans for node in plan.nodes}:
        tile = tile_of(node, size)
        assert tile.width == min(TILE_WIDTH, (size >> 8 * tile.level) - tile.index * TILE_WIDTH)
        # Equal leaves have equal hashes at each level, so the tile's content is known.
        result = below = leaf_hash(b"")
        for level in range(node.level):
            result = node_hash(result, result)
            if level + 1 == 8 * tile.level:
                below = result
        assert node_in([below] * tile.width, node) == result


def test_a_full_tile_is_one_hash_of_the_level_above() -> None:
    for index in range(LEAVES // TILE_WIDTH):
        hashes = [hash_of(node) for node in Tile(0, index).nodes]
        assert tile_root(hashes) == hash_of(Node(8, index)) == hash_of(Tile(1, 0).nodes[index])


@pytest.mark.parametrize("width", [0, 1, 128, 255, 257])
def test_a_tile_that_is_not_full_has_no_hash_above(width: int) -> None:
    with pytest.raises(ValueError, match="width"):
        tile_root([leaf_hash(b"")] * width)


@pytest.mark.parametrize("node", [Node(0, 200), Node(3, 25), Node(7, 1), Node(0, 255 + 201)])
def test_a_tile_that_is_too_narrow_for_a_node_is_refused(node: Node) -> None:
    last = (((node.index + 1) << node.level) - 1) % TILE_WIDTH
    assert len(node_in([leaf_hash(b"")] * (last + 1), node)) == 32
    with pytest.raises(ValueError, match="width"):
        node_in([leaf_hash(b"")] * last, node)


@pytest.mark.parametrize(
    ("node", "size"), [(Node(0, 5), 5), (Node(1, 2), 5), (Node(3, 0), 7), (Node(0, -1), 5), (Node(-1, 0), 5)]
)
def test_a_node_that_a_tree_does_not_have_is_in_none_of_its_tiles(node: Node, size: int) -> None:
    with pytest.raises(ValueError, match="subtree"):
        tile_of(node, size)


def test_a_file_is_split_into_its_hashes() -> None:
    for width in (1, 2, 255, 256):
        hashes = tuple(leaf_hash(entry(number)) for number in range(width))
        assert split(b"".join(hashes)) == hashes


@pytest.mark.parametrize("length", [0, 1, 31, 33, 257 * 32])
def test_a_file_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        split(b"\0" * length)
