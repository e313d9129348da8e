"""Which directories capabilities grant as a whole, and that none holds what the capabilities do not admit."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.capabilities import parse_capability
from subgraph.execution import granted_directories as module
from subgraph.execution.confinement.syscalls import drop_capabilities
from subgraph.execution.granted_directories import GrantedDirectory, file_access, granted_directories


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with directories in directories, links, hidden files, and something outside."""
    root = tmp_path / "workspace"
    for directory in ("a/b/c", "d", "secretive/deep/.git", "empty"):
        (root / directory).mkdir(parents=True)
    for file in ("file", "a/file", "a/b/file", "a/b/c/file", "d/file", "secretive/file"):
        (root / file).write_text(file)
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "to-a").symlink_to("a")
    return root


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    directory = tmp_path / "snapshot"
    directory.mkdir()
    return directory


def granted(workspace: Path, snapshot: Path, *capabilities: str) -> list[GrantedDirectory]:
    return granted_directories(list(map(parse_capability, capabilities)), workspace, snapshot)


def shown(workspace: Path, snapshot: Path, *capabilities: str) -> dict[str, bool]:
    """What a run sees, and whether it may write there; each lies where its name says."""
    found = granted(workspace, snapshot, *capabilities)
    for each in found:
        assert each.place == (snapshot if each.name == "/skill" else workspace / each.name)
    assert len({each.name for each in found}) == len(found)
    return {each.name: each.writable for each in found}


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ((), {}),
        (("read_file(a/**)",), {"a": False}),
        (("write_file(a/**)",), {"a": True}),
        (("read_file(a/**)", "write_file(a/**)"), {"a": True}),
        (("write_file(a/**)", "read_file(a/**)"), {"a": True}),
        (("read_file(a/**)", "write_file(d/**)"), {"a": False, "d": True}),
        (("read_file(a/**)", "write_file(a/b/**)"), {"a": False, "a/b": True}),
        (("read_file(a/b/c/**)",), {"a/b/c": False}),
        (("read_file(./a/**)", "read_file(/workspace/a/**)"), {"a": False}),
        (("read_file(empty/**)",), {"empty": False}),
        (("read_file(/skill/**)",), {"/skill": False}),
        (("read_file(/skill/**)", "write_file(a/**)"), {"a": True, "/skill": False}),
    ],
)
def test_a_capability_for_all_below_a_directory_grants_it(
    workspace: Path, snapshot: Path, capabilities: tuple[str, ...], expected: dict[str, bool]
) -> None:
    assert shown(workspace, snapshot, *capabilities) == expected


def test_a_capability_without_a_pattern_grants_the_workspace(workspace: Path, snapshot: Path) -> None:
    assert shown(workspace, snapshot, "read_file") == {".": False, "/skill": False}
    assert shown(workspace, snapshot, "write_file") == {".": True}
    assert shown(workspace, snapshot, "read_file", "write_file(a/**)") == {
        ".": False,
        "a": True,
        "/skill": False,
    }


@pytest.mark.parametrize(
    "capability",
    [
        "read_file(a/file)",
        "read_file(a/*)",
        "read_file(a/*.txt)",
        "read_file(a/*/**)",
        "read_file(?/**)",
        "read_file(a/**/file)",
        "write_file(a/b/fi*)",
        "list_dir",
        "list_dir(a/**)",
        "list_dir(/skill/**)",
        "read_file(/skill/references/**)",
        "read_file(/skill/SKILL.md)",
        "read_env(HOME)",
        "fetch_url(https://example.com/**)",
        "recall_memory",
    ],
)
def test_other_capabilities_grant_none(workspace: Path, snapshot: Path, capability: str) -> None:
    assert granted(workspace, snapshot, capability) == []


@pytest.mark.parametrize(
    "path", ["nothing", "a/nothing", "file", "a/file", "out", "out/deep", "to-a", "to-a/b", "a/b/c/file"]
)
def test_what_is_no_directory_or_behind_a_link_is_not_granted(
    workspace: Path, snapshot: Path, path: str
) -> None:
    assert granted(workspace, snapshot, f"read_file({path}/**)", f"write_file({path}/**)") == []


def test_a_workspace_that_is_not_there_or_a_link_grants_nothing(tmp_path: Path, snapshot: Path) -> None:
    assert granted(tmp_path / "nothing", snapshot, "read_file(a/**)", "write_file") == []
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert granted(tmp_path / "link", snapshot, "read_file(a/**)", "write_file") == []


def test_a_granted_directory_is_named_without_links(workspace: Path, snapshot: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "home").symlink_to(tmp_path)
    (found,) = granted(tmp_path / "elsewhere" / "home" / "workspace", snapshot, "read_file(a/**)")
    assert (found.place, found.name) == (workspace / "a", "a")


def test_a_directory_with_something_hidden_is_granted_by_no_pattern(workspace: Path, snapshot: Path) -> None:
    assert shown(workspace, snapshot, "read_file(secretive/**)", "write_file(secretive/**)") == {}
    assert shown(workspace, snapshot, "read_file(**)") == {}
    (workspace / "a" / "b" / ".env").write_text("")
    assert shown(workspace, snapshot, "read_file(a/**)", "read_file(a/b/c/**)") == {"a/b/c": False}
    assert shown(workspace, snapshot, "read_file(secretive/deep/.git/**)") == {"secretive/deep/.git": False}


def test_a_directory_with_more_than_can_be_looked_through_is_not_granted(
    workspace: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENTRIES_LIMIT", 5)
    assert shown(workspace, snapshot, "read_file(a/**)") == {"a": False}
    (workspace / "a" / "b" / "one-more").write_text("")
    assert shown(workspace, snapshot, "read_file(a/**)") == {}
    assert shown(workspace, snapshot, "read_file") == {".": False, "/skill": False}


def test_a_directory_that_cannot_be_listed_is_not_granted(workspace: Path, snapshot: Path) -> None:
    (workspace / "a" / "b").chmod(0o311)
    # Capabilities are those of a thread; without them root is like anybody else.
    with ThreadPoolExecutor(1) as unprivileged:
        unprivileged.submit(drop_capabilities).result()
        assert unprivileged.submit(shown, workspace, snapshot, "read_file(a/**)").result() == {}
    (workspace / "a" / "b").chmod(0o755)
    assert shown(workspace, snapshot, "read_file(a/**)") == {"a": False}


def test_the_kernel_is_told_the_same(workspace: Path, snapshot: Path) -> None:
    access = file_access(
        granted(workspace, snapshot, "read_file(a/**)", "write_file(d/**)", "read_file(/skill/**)")
    )
    assert access.read == (workspace / "a", snapshot)
    assert access.write == (workspace / "d",)
    both = file_access(granted(workspace, snapshot, "read_file(a/**)", "write_file(a/**)"))
    assert both.read == both.write == (workspace / "a",)


_PATHS = st.sampled_from(
    [
        "a",
        "a/b",
        "a/b/c",
        "d",
        "secretive",
        "secretive/deep",
        "empty",
        "out",
        "to-a",
        "nothing",
        "/workspace/a",
        "/skill",
    ]
)
_PATTERNS = st.builds(lambda path, end: path + end, _PATHS, st.sampled_from(["/**", "/*", "/file", ""]))
_CAPABILITIES = st.builds(
    lambda name, pattern: name if pattern is None else f"{name}({pattern})",
    st.sampled_from(["read_file", "write_file", "list_dir"]),
    st.none() | _PATTERNS | st.just("**"),
).filter(lambda text: not text.startswith("write_file(/skill"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_CAPABILITIES, max_size=4))
def test_nothing_below_a_granted_directory_is_beyond_the_capabilities(
    workspace: Path, snapshot: Path, texts: list[str]
) -> None:
    capabilities = list(map(parse_capability, texts))
    for each in granted_directories(capabilities, workspace, snapshot):
        needed = "write_file" if each.writable else "read_file"
        admitting = [capability for capability in capabilities if capability.name == needed]
        for folder, _, files in os.walk(each.place):
            for file in files:
                path = Path(folder, file).relative_to(each.place)
                target = (
                    f"/skill/{path}" if each.name == "/skill" else f"{each.name}/{path}".removeprefix("./")
                )
                assert any(capability.admits(target) for capability in admitting), (each, target)
