"""Paths, globs and names: what a text means, and what is within a pattern."""

from __future__ import annotations

import posixpath
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.capabilities.patterns import (
    DEPTH_LIMIT,
    NAME_LIMIT,
    PART_LIMIT,
    PATH_LIMIT,
    WILDCARD_LIMIT,
    PathGlob,
    PatternError,
    VirtualPath,
    check_command,
    check_readable_variable,
    check_variable,
    is_secret_like,
    normalise_path,
    path_glob,
)
from subgraph.capabilities.vocabulary import Capability


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a/b", "a/b"),
        ("./a/b", "a/b"),
        ("a/b/", "a/b"),
        ("/workspace/a", "a"),
        ("/workspace", "."),
        ("/workspace/", "."),
        ("", "."),
        (".", "."),
        ("./", "."),
        ("/skill", "/skill"),
        ("/skill/a b/ç.md", "/skill/a b/ç.md"),
        ("skill/a", "skill/a"),
        ("...", "..."),
        (".env", ".env"),
        ("%2e%2e/a", "%2e%2e/a"),  # escapes mean nothing to a file system
        ("．．/a", "．．/a"),  # noqa: RUF001  (full-width dots are a name like any other)
    ],
)
def test_a_path_is_below_one_of_two_roots(text: str, path: str) -> None:
    assert str(normalise_path(text)) == path
    assert str(normalise_path(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "..", "../a", "a/..", "a/../b", "/skill/..", "/skill/../a", "/workspace/../skill", "a/./b", "a/.",
        "./.",
        "a//b", "//a", "/skill//a", "/workspace//a", ".//a", "a//", "/",
        "/etc/passwd", "/workspaces", "/skills/a",
        "/proc/self/environ", "C:\\a", "a\\..\\b", "a\0b", "a\nb", "a\x7fb", "a\x85b", "\ud800", "a\u202eb",
        "a\xadb", "a\u180eb", "a\U000e0041b",
        "a\u200bb", "a\u2028b", "\ufeffa",
    ],
)  # fmt: skip
def test_what_could_lead_elsewhere_is_no_path(text: str) -> None:
    with pytest.raises(PatternError):
        normalise_path(text)


def test_paths_are_bounded() -> None:
    many = "/".join(["a" * 100] * 10)
    longest = many + "/" + "b" * (PATH_LIMIT - len(many) - 1)
    for text in ("a" * PART_LIMIT, "/".join("a" * DEPTH_LIMIT), longest):
        assert str(normalise_path(text)) == text
    for text in (
        "a" * (PART_LIMIT + 1),
        "đ" * (PART_LIMIT // 2 + 1),
        "/".join("a" * (DEPTH_LIMIT + 1)),
        many + "/" + "b" * (PATH_LIMIT - len(many)),
    ):
        with pytest.raises(PatternError):
            normalise_path(text)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        ("a/b", ["a/b", "/workspace/a/b"], ["a", "a/b/c", "A/b", "/skill/a/b"]),
        ("a/*", ["a/b", "a/b.c"], ["a", "a/b/c", "a/.b", "b/a"]),
        ("*.csv", ["a.csv"], ["a.csv.exe", "a/b.csv", ".csv"]),
        ("a?c", ["abc", "aéc"], ["ac", "abbc"]),
        ("**", ["a", "a/b/c"], [".", ".env", "a/.git/config", "/skill/a"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b", "ab/c", "a/.b", "a/b/.c"]),
        ("**/x.md", ["x.md", "a/x.md", "a/b/x.md"], ["a/x.mdx", ".a/x.md"]),
        ("a/**/b/**", ["a/b/c", "a/x/b/c", "a/b/b/c"], ["a/b", "a/x/b", "a/c"]),
        ("a/**/**/b", ["a/b", "a/x/y/b"], ["a", "b"]),
        (".github/**", [".github/a"], [".github/.a", ".git/a"]),
        (".*", [".env"], ["env"]),
        ("/skill/data/*", ["/skill/data/a"], ["data/a", "/skill/a"]),
    ],
)
def test_a_glob_matches(pattern: str, inside: list[str], outside: list[str]) -> None:
    glob = PathGlob.parse(pattern)
    assert [text for text in inside if not glob.matches(normalise_path(text))] == []
    assert [text for text in outside if glob.matches(normalise_path(text))] == []


def test_a_directory_may_be_listed_whose_content_may() -> None:
    glob = PathGlob.parse("a/**")
    assert glob.matches(normalise_path("a"), itself=True)
    assert not glob.matches(normalise_path("."), itself=True)
    assert PathGlob.parse("**").matches(normalise_path("."), itself=True)


@pytest.mark.parametrize(
    "pattern", ["", "a**", "**a/b", "[ab]", "{a,b}", "../*", "/etc/*", "a//*", "\\*", "*/" * 9 + "a"]
)
def test_malformed_globs_match_nothing(pattern: str) -> None:
    with pytest.raises(PatternError):
        PathGlob.parse(pattern)
    assert path_glob(pattern) is None


def test_wildcards_are_bounded() -> None:
    assert not PathGlob.parse("/".join(["a*"] * WILDCARD_LIMIT)).is_literal
    with pytest.raises(PatternError, match="wildcards"):
        PathGlob.parse("/".join(["a*"] * (WILDCARD_LIMIT + 1)))


def test_hard_patterns_are_matched_fast() -> None:
    glob = PathGlob.parse("**/*a*a*a*a*a/**/b")
    path = VirtualPath("workspace", ("a" * 255,) * DEPTH_LIMIT)
    started = time.perf_counter()
    assert not glob.matches(path)
    assert time.perf_counter() - started < 0.25


WORK_PARTS = st.sampled_from(["a", "b", "ab", ".a", "a.b"])
GLOB_PARTS = st.sampled_from(["a", "b", "*", "**", "a*", "?", ".a", "*b", ".*"])
PATHS = st.lists(WORK_PARTS, max_size=5).map(lambda parts: VirtualPath("workspace", tuple(parts)))
GLOBS = st.lists(GLOB_PARTS, min_size=1, max_size=4).map("/".join)


@settings(max_examples=1500)
@given(GLOBS, GLOBS, PATHS, st.booleans())
def test_what_a_covered_glob_matches_its_cover_matches(
    wide: str, narrow: str, path: VirtualPath, itself: bool
) -> None:
    ours, theirs = PathGlob.parse(wide), PathGlob.parse(narrow)
    if ours.covers(theirs, itself=itself) and theirs.matches(path, itself=itself):
        assert ours.matches(path, itself=itself)


@settings(max_examples=500)
@given(GLOBS, PATHS)
def test_a_glob_matches_as_a_plain_search_does(pattern: str, path: VirtualPath) -> None:
    def search(wanted: tuple[str, ...], parts: tuple[str, ...]) -> bool:
        if not wanted:
            return not parts
        if wanted[0] == "**":
            return search(wanted[1:], parts) or bool(
                parts and not parts[0].startswith(".") and search(wanted, parts[1:])
            )
        return bool(parts) and one(wanted[0], parts[0]) and search(wanted[1:], parts[1:])

    def one(wanted: str, text: str) -> bool:
        hidden = text.startswith(".") and not wanted.startswith(".")
        expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in wanted)
        return not hidden and re.fullmatch(expression, text, re.DOTALL) is not None

    glob = PathGlob.parse(pattern)
    assert glob.matches(path, itself=True) == search(glob.parts, path.parts)


TEXTS = st.text("ab.*?/\\% -", max_size=12) | st.lists(
    st.sampled_from(["a", "b", ".", "..", "...", "", ".a", "a.b", "%2e%2e", "workspace", "skill", " "]),
    max_size=6,
).map("/".join)


def expression(glob: PathGlob) -> str:
    """Say as a regular expression what a glob means, for whoever does not trust the matching by parts."""
    ones = {"*": "[^/]*", "?": "[^/]"}
    pieces = []
    for part in glob.parts:
        visible = "" if part.startswith(".") else r"(?!\.)"
        one = "".join(ones.get(letter, re.escape(letter)) for letter in part)
        pieces.append(r"(?:(?!\.)[^/]+/)*" if part == "**" else f"{visible}(?=[^/]){one}/")
    return "".join(pieces)


@settings(max_examples=2000)
@given(GLOBS | st.none(), TEXTS, st.sampled_from(["read_file", "write_file", "list_dir"]))
def test_what_is_admitted_stays_below_its_root_and_within_the_pattern(
    pattern: str | None, text: str, name: str
) -> None:
    if not Capability(name, pattern).admits(text):
        return
    assert ".." not in text.split("/")
    path = normalise_path(text)
    root = "/root/skill" if path.root == "skill" else "/root/work"
    beneath = text.removeprefix(f"/{path.root}").lstrip("/") if text.startswith("/") else text
    lexical = posixpath.normpath(posixpath.join(root, beneath))
    assert lexical == posixpath.join(root, *path.parts)  # the kernel's own reading, were there no links
    if pattern is not None:
        written = "".join(part + "/" for part in path.parts)
        assert re.fullmatch(expression(PathGlob.parse(pattern)), written)


def test_names() -> None:
    for name in ("A", "_", "API_KEY_2", "A" * NAME_LIMIT):
        assert check_variable(name) == name
    for name in ("", "a", "1A", "A-B", "A.B", "A/B", "../A", "A\n", "Á", "A" * (NAME_LIMIT + 1)):
        with pytest.raises(PatternError):
            check_variable(name)
    for name in ("git", "python3.11", "7z", "g++", "a" * NAME_LIMIT):
        assert check_command(name) == name
    for name in ("", ".", "..", ".sh", "-rf", "a/b", "/bin/sh", "a b", "a;b", "a\n", "a" * (NAME_LIMIT + 1)):
        with pytest.raises(PatternError):
            check_command(name)
    for name in ("CYBEROS_JWT_KEY", "SKILL_SECRET_X", "CYBEROS_HOME"):
        with pytest.raises(PatternError):
            check_readable_variable(name)


@pytest.mark.parametrize(
    "name",
    ["GITHUB_TOKEN", "AWS_REGION", "API_KEY", "DB_PASSWORD", "PGPASSWORD", "DATABASE_URL", "SENTRY_DSN",
     "MY_SECRET", "SSH_AUTH_SOCK", "MONGO_URI", "PASSPHRASE", "GOOGLE_APPLICATION_CREDENTIALS", "MY_PAT"],
)  # fmt: skip
def test_names_that_usually_hold_secrets(name: str) -> None:
    assert is_secret_like(name)


@pytest.mark.parametrize("name", ["LANG", "TZ", "HOME", "PATH", "PAGER", "CURRENCY", "COMPANY_NAME"])
def test_names_that_usually_hold_none(name: str) -> None:
    assert not is_secret_like(name)
