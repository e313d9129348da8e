"""Inputs that nobody would write, each made again from its seed and number: real files, cut and joined.

Half are bytes as of SKILL.md, half are text as of `allowed-tools`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from subgraph.catalog.front_matter import FRONT_MATTER_LIMIT
from tests.support.skill_samples import samples

_LARGEST = 2 * FRONT_MATTER_LIMIT
_MUTATIONS_AT_MOST = 6

_WORDS = (
    b"(", b")", b",", b"---\n", b"\n---\n", b"\r\n", b"\r", b"...\n", b"name: ", b"description: ",
    b"metadata:\n", b"  a: b\n", b"allowed-tools: ", b"license: ", b"compatibility: ", b"  cyberos-script: ",
    b"  cyberos-activation-events: ", b"- ", b"? ", b": ", b"[", b"]", b"{", b"}", b", ", b"&a ", b"*a",
    b"<<: *a\n", b"!!python/object:os.system ", b"!!binary ", b"|\n  ", b">-\n  ", b'"', b"'", b"\\x00",
    b"\\u202e", b"\\ud800", b"\\", b"%YAML 1.1\n", b"%TAG ! !\n", b"\xef\xbb\xbf", b"\xff", b"\xc3",
    b"\x00", b"\x1b[31m", b"\t", b"#", b" #", b"~", b"null", b"1_000", b"1:30", b".inf", b"2026-01-01",
    b"0x1F", "ế".encode(), "\u202e".encode(), "\u2028".encode(), b"](../", b"](references/a.md)",
    b"scripts/a.py", b"</skill>", b"]]>",
)  # fmt: skip

_TOOL_WORDS = (
    b"read_file", b"write_file(", b"list_dir(**)", b"fetch_url(https://", b"fetch_url(https://*.vn/*)",
    b"read_env(", b"get_secret(A_B)", b"exec_command(", b"recall_memory", b"Bash(git diff:*)", b"(",
    b")", b"()", b",", b" ", b"\t", b"\n", b"*", b"**", b"**/", b"/", b"../", b"./", b"work:", b"skill:",
    b"[", b"]", b"[!a-", b"{a,b}", b"?", b"%2e%2e", b"%", b"@", b":", b":99999", b"[::1]", b"127.0.0.1",
    b"xn--", b"xn--a-ecp", b".", "ế".encode(), "\u3002".encode(), "\uff0e".encode(), b"\x00", b"\x7f",
    b"\xff", b"\\", b"'", b"~", b"$HOME", b"LD_PRELOAD",
)  # fmt: skip

_HANDWRITTEN = (
    b"", b"---", b"---\n---\n", b"---\nname: ok\ndescription: d\n---\nbody\n",
    b"---\nname: ok\ndescription: use: it\n---\n", b"---\n{name: ok, description: d}\n---\n",
    b"---\na: &a [x]\nb: [*a, *a]\n---\n",
    b"---\nname: ok\ndescription: |\n  a\n  b\nmetadata:\n  a: b\n---\n\n# T\n",
    b"---\nname: ok\ndescription: 'q'\nallowed-tools:\n  - a\n  - Bash(a b)\n---\n[x](references/x)\n",
)  # fmt: skip

_HANDWRITTEN_TOOLS = (
    b"", b"read_file", b"read_file, write_file", b"fetch_url(https://*.example.vn:8443/a/*/b?c=*)",
    b"read_file(data/**/*.json) list_dir(skill:references)", b"Bash(git:*) Read",
    b"read_env(HOME) get_secret(TOKEN)",
)  # fmt: skip


def manifest_bytes(seed: int, number: int) -> bytes:
    """Make the bytes of a SKILL.md."""
    return _mutated(random.Random(f"manifest {seed} {number}"), _manifests(), _WORDS)  # noqa: S311


def tools_text(seed: int, number: int) -> str:
    """Make the text of `allowed-tools`."""
    chance = random.Random(f"tools {seed} {number}")  # noqa: S311
    return _mutated(chance, _HANDWRITTEN_TOOLS, _TOOL_WORDS).decode(errors="replace")


@cache
def _manifests() -> tuple[bytes, ...]:
    return (*_HANDWRITTEN, *(sample.manifest for sample in samples(64)))


def _mutated(chance: random.Random, corpus: tuple[bytes, ...], words: tuple[bytes, ...]) -> bytes:
    data = chance.choice(corpus)
    if chance.random() < 0.1:
        data = b"".join(chance.choices(words, k=chance.randint(1, 60)))
    for _ in range(chance.randint(1, _MUTATIONS_AT_MOST)):
        data = chance.choice(_MUTATIONS)(chance, data, corpus, words)[:_LARGEST]
    if chance.random() < 0.3 and not data.startswith(b"---\n"):
        data = b"---\n" + data
    return data


Corpus = tuple[bytes, ...]


def _flip(chance: random.Random, data: bytes, _corpus: Corpus, _words: Corpus) -> bytes:
    if not data:
        return b"\x80"
    position = chance.randrange(len(data))
    return data[:position] + bytes([data[position] ^ 1 << chance.randrange(8)]) + data[position + 1 :]


def _insert_word(chance: random.Random, data: bytes, _corpus: Corpus, words: Corpus) -> bytes:
    position = _position(chance, data)
    return data[:position] + chance.choice(words) + data[position:]


def _insert_bytes(chance: random.Random, data: bytes, _corpus: Corpus, _words: Corpus) -> bytes:
    position = _position(chance, data)
    return data[:position] + chance.randbytes(chance.randint(1, 8)) + data[position:]


def _remove(chance: random.Random, data: bytes, _corpus: Corpus, _words: Corpus) -> bytes:
    start, end = _range(chance, data)
    return data[:start] + data[end:]


def _cut(chance: random.Random, data: bytes, _corpus: Corpus, _words: Corpus) -> bytes:
    return data[: _position(chance, data)]


def _splice(chance: random.Random, data: bytes, corpus: Corpus, _words: Corpus) -> bytes:
    other = chance.choice(corpus)
    return data[: _position(chance, data)] + other[_position(chance, other) :]


def _repeat_word(chance: random.Random, data: bytes, _corpus: Corpus, words: Corpus) -> bytes:
    """Repeat one or two words up to what may be read: depth, width and whatever is worse than linear."""
    unit = b"".join(chance.choices(words, k=chance.randint(1, 3)))
    position = _position(chance, data)
    return data[:position] + unit * _times(chance, len(unit)) + data[position:]


def _repeat_range(chance: random.Random, data: bytes, _corpus: Corpus, _words: Corpus) -> bytes:
    start, end = _range(chance, data)
    return data[:start] + data[start:end] * _times(chance, end - start) + data[end:]


def _position(chance: random.Random, data: bytes) -> int:
    """Choose a place, more often one near the beginning: the front matter is there."""
    return chance.randint(0, min(len(data), chance.choice((40, 400, len(data)))))


def _range(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = _position(chance, data)
    return start, min(len(data), start + chance.randint(1, 80))


def _times(chance: random.Random, length: int) -> int:
    bound = chance.choice((4, 100, 1000, FRONT_MATTER_LIMIT)) // max(length, 1)
    return chance.randint(1, max(bound, 2))


_MUTATIONS: tuple[Callable[[random.Random, bytes, Corpus, Corpus], bytes], ...] = (
    _flip, _insert_word, _insert_word, _insert_bytes, _remove, _cut, _splice, _repeat_word, _repeat_range,
)  # fmt: skip
