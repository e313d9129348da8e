"""Trees and proofs by the recursive definitions of RFC 9162, section 2.1, word for word and slowly."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from subgraph.audit.merkle import Node, Plan

LEAVES = 2100
"""More than eight tiles of leaves."""


def entry(number: int) -> bytes:
    return f"entry {number}".encode()


@cache
def mth(start: int, stop: int) -> bytes:
    """MTH(D[start:stop]), where D[n] is `entry(n)`."""
    size = stop - start
    if size == 0:
        return sha256(b"").digest()
    if size == 1:
        return sha256(b"\x00" + entry(start)).digest()
    k = split(size)
    return sha256(b"\x01" + mth(start, start + k) + mth(start + k, stop)).digest()


def path(m: int, start: int, stop: int) -> tuple[bytes, ...]:
    """PATH(m, D[start:stop])."""
    size = stop - start
    if size == 1:
        return ()
    k = split(size)
    if m < k:
        return (*path(m, start, start + k), mth(start + k, stop))
    return (*path(m - k, start + k, stop), mth(start, start + k))


def proof(m: int, n: int) -> tuple[bytes, ...]:
    """PROOF(m, D[0:n]), for 0 < m <= n."""
    return subproof(m, 0, n, known=True)


def subproof(m: int, start: int, stop: int, *, known: bool) -> tuple[bytes, ...]:
    size = stop - start
    if m == size:
        return () if known else (mth(start, stop),)
    k = split(size)
    if m <= k:
        return (*subproof(m, start, start + k, known=known), mth(start + k, stop))
    return (*subproof(m - k, start + k, stop, known=False), mth(start, start + k))


def split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    k = 1
    while 2 * k < size:
        k *= 2
    return k


def hash_of(node: Node) -> bytes:
    return mth(node.index << node.level, (node.index + 1) << node.level)


def hashes_for(plan: Plan) -> dict[Node, bytes]:
    return {node: hash_of(node) for node in plan.nodes}
