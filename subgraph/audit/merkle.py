"""The Merkle tree of the log: hashes, its growing edge, and proofs (RFC 6962, hash function SHA-256).

Nothing here reads or writes. A proof is made in two steps, so that its hashes are fetched at once:
`inclusion_nodes` or `consistency_nodes` says which complete subtrees are needed, and `assemble` makes the
proof of their hashes. Section numbers are those of RFC 9162, whose trees and proofs are those of RFC 6962.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from subgraph.errors import InputInvalid

HASH_BYTES = 32

MAX_SIZE = 2**63 - 1
"""Leaves of a tree: what PostgreSQL's `bigint` and other implementations' signed integers hold."""

EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves (section 2.1.1)."""


class ProofInvalid(InputInvalid):
    """The proof does not prove what it is said to prove."""


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A complete subtree: 2**level leaves, the first of them leaf index * 2**level."""

    level: int
    index: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a proof is made of: each element is the hash of the adjacent complete subtrees named for it."""

    elements: tuple[tuple[Node, ...], ...]

    @property
    def nodes(self) -> list[Node]:
        """The subtrees whose hashes `assemble` needs, each once."""
        return [node for element in self.elements for node in element]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of one leaf (section 2.1.1); its prefix tells it from an inner node's."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two adjacent subtrees (section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The growing edge of a tree: the hashes of the complete subtrees that it falls into, largest first.

    This is the state that section 2.1.2 keeps to compute a root entry by entry: one hash for each bit that
    is set in the size. Raises `ValueError` for a size and hashes that cannot belong together.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        kept = list(hashes)
        if not 0 <= size <= MAX_SIZE:
            raise ValueError(f"a tree of {size} leaves is not within 0 to {MAX_SIZE}")
        if len(kept) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} subtrees, not {len(kept)}")
        if any(len(item) != HASH_BYTES for item in kept):
            raise ValueError(f"a hash is not {HASH_BYTES} bytes long")
        self._size = size
        self._hashes = kept

    @property
    def size(self) -> int:
        """Leaves of the tree."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Hashes of the complete subtrees, the largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf by its hash. Raises `ValueError` as `extend` does."""
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves by their hashes: all of them or, if one is no hash, none (`ValueError`)."""
        size, hashes = self._size, self._hashes.copy()
        push, pop = hashes.append, hashes.pop
        for leaf in leaves:
            if len(leaf) != HASH_BYTES:
                raise ValueError(f"a leaf's hash is {len(leaf)} bytes long, not {HASH_BYTES}")
            size += 1
            # Each zero at the end of the new size is a pair of equal subtrees that become one.
            ends, subtree = size, leaf
            while not ends & 1:
                subtree = sha256(b"\x01" + pop() + subtree).digest()
                ends >>= 1
            push(subtree)
        if size > MAX_SIZE:
            raise ValueError(f"a tree of {size} leaves is not within 0 to {MAX_SIZE}")
        self._size, self._hashes = size, hashes

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        return _joined(self._hashes)


def root_nodes(size: int) -> Plan:
    """What the root of the first `size` leaves is made of: `assemble` gives it as the one element.

    Raises `ValueError` for a size out of bounds.
    """
    _check_sizes(0, size)
    return Plan((_subtrees(0, size),))


def inclusion_nodes(seq: int, size: int) -> Plan:
    """What the proof is made of that leaf `seq`, counted from 0, is in the tree of `size` (section 2.1.3.1).

    Raises `ValueError` unless 0 <= seq < size.
    """
    _check_sizes(seq + 1, size)
    if seq < 0:
        raise ValueError(f"leaf {seq} is in no tree")
    elements = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if seq < middle:
            elements.append(_subtrees(middle, stop))
            stop = middle
        else:
            elements.append(_subtrees(start, middle))
            start = middle
    return Plan(tuple(reversed(elements)))


def consistency_nodes(old_size: int, new_size: int) -> Plan:
    """What the proof is made of that a tree grew out of an older one (section 2.1.4.1).

    The proof is empty for equal sizes and for an older tree without leaves, which every tree extends.
    Raises `ValueError` unless 0 <= old_size <= new_size.
    """
    _check_sizes(old_size, new_size)
    if old_size in (0, new_size):
        return Plan(())
    elements = []
    start, stop = 0, new_size
    while stop != old_size:
        middle = start + _split(stop - start)
        if old_size <= middle:
            elements.append(_subtrees(middle, stop))
            stop = middle
        else:
            elements.append(_subtrees(start, middle))
            start = middle
    if start:  # else the subtree is the older tree itself, whose root the verifier has
        elements.append(_subtrees(start, stop))
    return Plan(tuple(reversed(elements)))


def assemble(plan: Plan, hashes: Mapping[Node, bytes]) -> tuple[bytes, ...]:
    """Make the proof of the hashes of `plan.nodes`. Raises `KeyError` if one of them is missing."""
    return tuple(_joined([hashes[node] for node in element]) for element in plan.elements)


def verify_inclusion(leaf: bytes, seq: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf with this hash is number `seq`, counted from 0, of the tree (section 2.1.3.2).

    Raises `ProofInvalid`.
    """
    _check_hashes(leaf, root, *proof)
    if not 0 <= seq < size <= MAX_SIZE:
        raise ProofInvalid(f"Leaf {seq} is not in a tree of {size}.")
    position, last, result = seq, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid("The inclusion proof is too long.")
        if position & 1 or position == last:
            result = node_hash(sibling, result)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofInvalid("The inclusion proof is too short.")
    if result != root:
        raise ProofInvalid("The inclusion proof leads to another root.")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the older tree is the beginning of the newer one (section 2.1.4.2).

    The section leaves open two cases, where the proof must be empty: equal sizes have equal roots, and
    every tree extends the one without leaves. Raises `ProofInvalid`.
    """
    _check_hashes(old_root, new_root, *proof)
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise ProofInvalid(f"A tree of {old_size} leaves is not the beginning of one of {new_size}.")
    for size, root in ((old_size, old_root), (new_size, new_root)):
        if size == 0 and root != EMPTY_ROOT:
            raise ProofInvalid("The tree without leaves has another root.")
    if old_size in (0, new_size):
        if proof:
            raise ProofInvalid("The consistency proof is too long.")
        if old_size and old_root != new_root:
            raise ProofInvalid("Two trees of one size have different roots.")
        return
    _verify_growth(old_size, old_root, new_size, new_root, proof)


def _verify_growth(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    # A complete older tree is a subtree of the newer one: its root is where the proof starts.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise ProofInvalid("The consistency proof is too short.")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_result = new_result = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofInvalid("The consistency proof is too long.")
        if position & 1 or position == last:
            old_result, new_result = node_hash(sibling, old_result), node_hash(sibling, new_result)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_result = node_hash(new_result, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ProofInvalid("The consistency proof is too short.")
    if old_result != old_root:
        raise ProofInvalid("The consistency proof leads to another root of the older tree.")
    if new_result != new_root:
        raise ProofInvalid("The consistency proof leads to another root of the newer tree.")


def _split(leaves: int) -> int:
    """The largest power of two below a number of leaves, where a tree divides (section 2.1.1)."""
    return 1 << (leaves - 1).bit_length() - 1


def _subtrees(start: int, stop: int) -> tuple[Node, ...]:
    """The complete subtrees of a range of leaves that starts where a subtree as large as it may."""
    nodes = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return tuple(nodes)


def _joined(hashes: Sequence[bytes]) -> bytes:
    """The hash of adjacent complete subtrees, the largest first."""
    if not hashes:
        return EMPTY_ROOT
    result = hashes[-1]
    for left in reversed(hashes[:-1]):
        result = node_hash(left, result)
    return result


def _check_sizes(smaller: int, larger: int) -> None:
    if not 0 <= smaller <= larger <= MAX_SIZE:
        raise ValueError(f"{smaller} and {larger} leaves are not within 0 to {MAX_SIZE}, in this order")


def _check_hashes(*hashes: bytes) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise ProofInvalid(f"A hash is not {HASH_BYTES} bytes long.")
