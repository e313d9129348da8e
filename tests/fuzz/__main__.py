"""`python -m tests.fuzz`: read inputs that nobody would write, until one does what no input may do."""

from __future__ import annotations

import argparse
import random
import sys
import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tests.fuzz.inputs import manifest_bytes, tools_text
from tests.fuzz.strategies import documents, tools
from tests.fuzz.subjects import Fault, ManifestReaders, ToolReaders, manifest_readers

_HYPOTHESIS_SHARE = 20  # of so many inputs one is of hypothesis, which takes ten times as long to make one


def main() -> int:
    """Read the inputs; the exit code is 1 after a fault, which is printed with its input and seed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--number", type=int, help="read the input of this number again, and no other")
    arguments = parser.parse_args()
    started = time.monotonic()
    numbers = range(arguments.inputs) if arguments.number is None else [arguments.number]
    tool_readers = ToolReaders()
    with manifest_readers() as manifests:
        for number in numbers:
            if not _read(manifests, tool_readers, arguments.seed, number):
                return 1
        by_hypothesis = arguments.inputs // _HYPOTHESIS_SHARE if arguments.number is None else 0
        if by_hypothesis and not _explore(manifests, tool_readers, arguments.seed, by_hypothesis):
            return 1
    _print(
        f"{len(numbers):,} mutated inputs and {2 * by_hypothesis:,} of hypothesis in "
        f"{time.monotonic() - started:.0f} s, seed {arguments.seed}: no fault; the slowest took "
        f"{manifests.slowest * 1000:.1f} ms (SKILL.md), {tool_readers.slowest * 1000:.1f} ms (allowed-tools)"
    )
    return 0


def _read(manifests: ManifestReaders, tool_readers: ToolReaders, seed: int, number: int) -> bool:
    data: bytes = b""
    try:
        if number % 2:
            text = tools_text(seed, number)
            data = text.encode()
            tool_readers.read(text)
        else:
            data = manifest_bytes(seed, number)
            manifests.read(data)
    except Fault as fault:
        _print(f"{fault}\nseed {seed}, number {number}, {len(data)} bytes:\n{data!r}")
        return False
    return True


def _explore(manifests: ManifestReaders, tool_readers: ToolReaders, seed: int, count: int) -> bool:
    """Let hypothesis look; what it finds it makes small."""
    limits = settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    try:
        limits(seeded(seed)(given(documents())(manifests.read)))()
        limits(seeded(seed)(given(tools())(tool_readers.read)))()
    except Fault as fault:
        _print("\n".join([str(fault), *getattr(fault, "__notes__", ()), f"seed {seed}, by hypothesis"]))
        return False
    return True


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
