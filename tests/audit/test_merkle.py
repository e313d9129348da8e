from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.audit.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    Node,
    Plan,
    ProofInvalid,
    assemble,
    consistency_nodes,
    inclusion_nodes,
    leaf_hash,
    node_hash,
    root_nodes,
    verify_consistency,
    verify_inclusion,
)
from tests.audit import reference_tree as reference
from tests.audit.reference_tree import LEAVES, entry, hash_of, hashes_for, mth

SMALL = 40
"""Every tree up to this size is tried with each of its leaves and older trees."""

sizes = st.integers(0, LEAVES)
huge = st.integers(1, MAX_SIZE) | st.integers(0, 62).map(lambda level: 2**level)


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int]:
    size = draw(st.integers(1, LEAVES))
    return draw(st.integers(0, size - 1)), size


@st.composite
def growths(draw: st.DrawFn) -> tuple[int, int]:
    size = draw(sizes)
    return draw(st.integers(0, size)), size


def leaves(start: int, stop: int) -> Iterator[bytes]:
    return (leaf_hash(entry(number)) for number in range(start, stop))


def frontier(size: int) -> Frontier:
    grown = Frontier()
    grown.extend(leaves(0, size))
    return grown


def inclusion(seq: int, size: int) -> tuple[bytes, ...]:
    plan = inclusion_nodes(seq, size)
    return assemble(plan, hashes_for(plan))


def consistency(old_size: int, new_size: int) -> tuple[bytes, ...]:
    plan = consistency_nodes(old_size, new_size)
    return assemble(plan, hashes_for(plan))


def uniform(plan: Plan) -> tuple[bytes, ...]:
    """A proof of a tree whose leaves are all equal, which can be of any size."""
    return assemble(plan, {node: uniform_hash(node.level) for node in plan.nodes})


def uniform_hash(level: int) -> bytes:
    result = leaf_hash(b"")
    for _ in range(level):
        result = node_hash(result, result)
    return result


def mutations(proof: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    """Each byte changed, each hash left out, doubled and cut, neighbours swapped, one too many."""
    for at, item in enumerate(proof):
        for place in range(len(item)):
            changed = item[:place] + bytes([item[place] ^ 1 << at % 8]) + item[place + 1 :]
            yield (*proof[:at], changed, *proof[at + 1 :])
        yield (*proof[:at], *proof[at + 1 :])
        yield (*proof[:at], item, *proof[at:])
        yield (*proof[:at], item[:-1], *proof[at + 1 :])
        yield (*proof[:at], item + b"\0", *proof[at + 1 :])
        if at and proof[at - 1] != item:
            yield (*proof[: at - 1], item, proof[at - 1], *proof[at + 1 :])
    yield (*proof, EMPTY_ROOT)
    yield (EMPTY_ROOT, *proof)
    yield (*proof, b"")


def test_the_hashes_have_their_known_values() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert node_hash(EMPTY_ROOT, EMPTY_ROOT) == sha256(b"\x01" + EMPTY_ROOT * 2).digest()


@pytest.mark.parametrize(
    ("size", "root"),
    [
        (1, "773885a613489e24ce2cf76199d6a423f042e4bbf12d7eecee912ef276c65701"),
        (2, "5a47662fd8a317d96049a3f9f47c55dc67ca66051baa3683dbb19b2fe09a07b0"),
        (3, "94fbd0dd836f50301692e6d0eade728ee19ec52bfff1606ed807c8575d5aaa19"),
        (7, "98c97f0ba3175cd08b031dd084b9dc4e649b64d1a28e6ea694646503173ab587"),
        (8, "b69732ce5c914162ca9accfaf4e95d3f9874d68805437088aaff184a4db96773"),
        (1000, "346c6b9cb89c4b76fac9dcb20cda86e3a01c0a57417c139028eacd4538fde95b"),
    ],
)
def test_roots_have_the_values_of_the_definition(size: int, root: str) -> None:
    assert frontier(size).root().hex() == root == mth(0, size).hex()


def test_a_tree_that_grows_leaf_by_leaf_has_the_root_of_every_size() -> None:
    grown = Frontier()
    for number in range(300):
        assert grown.size == number
        assert grown.root() == mth(0, number)
        grown.append(leaf_hash(entry(number)))


@given(growths())
def test_a_tree_continues_from_its_size_and_hashes(growth: tuple[int, int]) -> None:
    old_size, new_size = growth
    old = frontier(old_size)
    assert list(old.hashes) == [hash_of(node) for node in root_nodes(old_size).nodes]
    restored = Frontier(old.size, old.hashes)
    restored.extend(leaves(old_size, new_size))
    assert (restored.size, restored.root()) == (new_size, mth(0, new_size))
    assert (old.size, old.root()) == (old_size, mth(0, old_size))


@pytest.mark.parametrize(
    ("size", "hashes"),
    [
        (-1, []),
        (0, [EMPTY_ROOT]),
        (1, []),
        (3, [EMPTY_ROOT]),
        (4, [EMPTY_ROOT] * 2),
        (1, [EMPTY_ROOT[:-1]]),
        (1, [EMPTY_ROOT + b"\0"]),
        (MAX_SIZE + 1, [EMPTY_ROOT]),
    ],
)
def test_a_size_and_hashes_that_do_not_belong_together_are_refused(size: int, hashes: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"leaves|bytes"):
        Frontier(size, hashes)


@pytest.mark.parametrize("bad", [b"", EMPTY_ROOT[:-1], EMPTY_ROOT + b"\0"])
def test_leaves_are_added_all_or_none(bad: bytes) -> None:
    grown = frontier(5)
    with pytest.raises(ValueError, match="bytes long"):
        grown.extend([EMPTY_ROOT, EMPTY_ROOT, bad])
    assert (grown.size, grown.root()) == (5, mth(0, 5))


def test_the_largest_tree_takes_no_further_leaf() -> None:
    grown = Frontier(MAX_SIZE - 1, [EMPTY_ROOT] * 62)
    grown.append(EMPTY_ROOT)
    root = grown.root()
    with pytest.raises(ValueError, match="leaves"):
        grown.append(EMPTY_ROOT)
    assert (grown.size, grown.root()) == (MAX_SIZE, root)


@given(sizes)
def test_a_root_is_made_of_complete_subtrees(size: int) -> None:
    plan = root_nodes(size)
    assert assemble(plan, hashes_for(plan)) == (mth(0, size),)


def test_every_inclusion_proof_of_small_trees_is_the_definitions() -> None:
    for size in range(1, SMALL):
        for seq in range(size):
            proof = inclusion(seq, size)
            assert proof == reference.path(seq, 0, size)
            verify_inclusion(leaf_hash(entry(seq)), seq, size, proof, mth(0, size))


def test_every_consistency_proof_of_small_trees_is_the_definitions() -> None:
    for new_size in range(1, SMALL):
        for old_size in range(1, new_size + 1):
            proof = consistency(old_size, new_size)
            assert proof == reference.proof(old_size, new_size)
            verify_consistency(old_size, mth(0, old_size), new_size, mth(0, new_size), proof)


@given(places())
def test_inclusion_proofs_are_the_definitions(place: tuple[int, int]) -> None:
    seq, size = place
    proof = inclusion(seq, size)
    assert proof == reference.path(seq, 0, size)
    verify_inclusion(leaf_hash(entry(seq)), seq, size, proof, mth(0, size))


@given(growths())
def test_consistency_proofs_are_the_definitions(growth: tuple[int, int]) -> None:
    old_size, new_size = growth
    proof = consistency(old_size, new_size)
    assert proof == (reference.proof(old_size, new_size) if old_size else ())
    verify_consistency(old_size, mth(0, old_size), new_size, mth(0, new_size), proof)


@given(huge, st.data())
def test_proofs_of_the_largest_trees_verify(size: int, data: st.DataObject) -> None:
    seq = data.draw(st.integers(0, size - 1))
    (root,) = uniform(root_nodes(size))
    proof = uniform(inclusion_nodes(seq, size))
    assert len(proof) <= 63
    verify_inclusion(leaf_hash(b""), seq, size, proof, root)
    (old_root,) = uniform(root_nodes(seq))
    growth = uniform(consistency_nodes(seq, size))
    assert len(growth) <= 64
    verify_consistency(seq, old_root, size, root, growth)


@given(huge, st.data())
def test_a_plan_asks_for_complete_subtrees_of_the_tree_each_once(size: int, data: st.DataObject) -> None:
    other = data.draw(st.integers(0, size - 1))
    for plan in (inclusion_nodes(other, size), consistency_nodes(other, size), root_nodes(size)):
        spans = sorted((node.index << node.level, (node.index + 1) << node.level) for node in plan.nodes)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        assert not spans or spans[-1][1] <= size


def test_a_proof_lacking_a_hash_is_not_assembled() -> None:
    with pytest.raises(KeyError):
        assemble(inclusion_nodes(0, 2), {Node(0, 0): EMPTY_ROOT})


@pytest.mark.parametrize(("seq", "size"), [(0, 0), (-1, 1), (1, 1), (8, 8), (0, -1), (0, MAX_SIZE + 1)])
def test_there_is_no_inclusion_proof_of_a_leaf_out_of_the_tree(seq: int, size: int) -> None:
    with pytest.raises(ValueError, match=r"leaf|leaves"):
        inclusion_nodes(seq, size)
    with pytest.raises(ProofInvalid):
        verify_inclusion(EMPTY_ROOT, seq, size, (), EMPTY_ROOT)


@pytest.mark.parametrize(("old", "new"), [(-1, 0), (1, 0), (9, 8), (0, MAX_SIZE + 1), (-2, -1)])
def test_there_is_no_consistency_proof_of_a_tree_that_shrinks(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="leaves"):
        consistency_nodes(old, new)
    with pytest.raises(ProofInvalid):
        verify_consistency(old, EMPTY_ROOT, new, EMPTY_ROOT, ())


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 8, 13])
def test_a_changed_inclusion_proof_is_refused(size: int) -> None:
    root = mth(0, size)
    for seq in range(size):
        leaf, proof = leaf_hash(entry(seq)), inclusion(seq, size)
        for changed in mutations(proof):
            with pytest.raises(ProofInvalid):
                verify_inclusion(leaf, seq, size, changed, root)
        for other in set(range(-1, size + 1)) - {seq}:
            with pytest.raises(ProofInvalid):
                verify_inclusion(leaf, other, size, proof, root)
        for changed_leaf, changed_root in ((root[::-1], root), (leaf, EMPTY_ROOT), (b"", root), (leaf, b"")):
            with pytest.raises(ProofInvalid):
                verify_inclusion(changed_leaf, seq, size, proof, changed_root)


@pytest.mark.parametrize("new_size", [1, 2, 3, 6, 7, 8, 13])
def test_a_changed_consistency_proof_is_refused(new_size: int) -> None:
    new_root = mth(0, new_size)
    for old_size in range(new_size + 1):
        old_root, proof = mth(0, old_size), consistency(old_size, new_size)
        for changed in mutations(proof):
            with pytest.raises(ProofInvalid):
                verify_consistency(old_size, old_root, new_size, new_root, changed)
        wrong = leaf_hash(b"wrong")
        for roots in ((wrong, new_root), (old_root[1:], new_root), (old_root, b"")):
            with pytest.raises(ProofInvalid):
                verify_consistency(old_size, roots[0], new_size, roots[1], proof)
        if old_size:  # every tree extends the one without leaves
            with pytest.raises(ProofInvalid):
                verify_consistency(old_size, old_root, new_size, wrong, proof)


def test_a_proof_that_is_too_long_does_not_reach_a_root_made_for_it() -> None:
    leaf, more = leaf_hash(entry(0)), leaf_hash(b"more")
    with pytest.raises(ProofInvalid, match="too long"):
        verify_inclusion(leaf, 0, 1, (more,), node_hash(more, leaf))
    roots = node_hash(more, mth(0, 3)), node_hash(more, mth(0, 4))
    with pytest.raises(ProofInvalid, match="too long"):
        verify_consistency(3, roots[0], 4, roots[1], (*consistency(3, 4), more))


def test_a_proof_that_is_too_short_does_not_reach_a_root_made_for_it() -> None:
    with pytest.raises(ProofInvalid, match="too short"):
        verify_inclusion(leaf_hash(entry(0)), 0, 5, inclusion(0, 5)[:-1], mth(0, 4))
    with pytest.raises(ProofInvalid, match="too short"):
        verify_consistency(3, mth(0, 3), 5, mth(0, 4), consistency(3, 5)[:-1])
    with pytest.raises(ProofInvalid, match="too short"):
        verify_consistency(3, mth(0, 3), 5, mth(0, 5), ())


def test_two_hashes_that_share_their_bytes_otherwise_are_refused() -> None:
    left, right = leaf_hash(entry(0)), leaf_hash(entry(1))
    assert node_hash(left + right[:1], right[1:]) == mth(0, 2)
    with pytest.raises(ProofInvalid, match="32 bytes"):
        verify_inclusion(left + right[:1], 0, 2, (right[1:],), mth(0, 2))


def test_a_proof_in_a_tree_out_of_bounds_is_refused() -> None:
    proof = tuple(map(uniform_hash, range(63)))
    with pytest.raises(ProofInvalid, match="is not in a tree"):
        verify_inclusion(leaf_hash(b""), 0, MAX_SIZE + 1, proof, uniform_hash(63))


def test_only_the_root_of_nothing_is_that_of_the_tree_without_leaves() -> None:
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, ())
    verify_consistency(0, EMPTY_ROOT, 7, mth(0, 7), ())
    for old, new in ((mth(0, 1), EMPTY_ROOT), (EMPTY_ROOT, mth(0, 1)), (mth(0, 1), mth(0, 1))):
        with pytest.raises(ProofInvalid):
            verify_consistency(0, old, 0, new, ())
    with pytest.raises(ProofInvalid):
        verify_consistency(0, EMPTY_ROOT, 7, mth(0, 7), (EMPTY_ROOT,))


@given(growths(), st.integers(0, 3))
def test_a_log_that_changed_an_old_entry_is_not_consistent(growth: tuple[int, int], salt: int) -> None:
    old_size, new_size = growth
    if old_size == 0:
        return
    changed = salt * old_size // 4
    forged = Frontier()
    forged.extend(leaf_hash(b"forged" if number == changed else entry(number)) for number in range(new_size))
    with pytest.raises(ProofInvalid):
        verify_consistency(
            old_size, mth(0, old_size), new_size, forged.root(), consistency(old_size, new_size)
        )
