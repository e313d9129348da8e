"""A component is held to the sources beside it, by the bill of its build."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.catalog.freshness import BILL_PATH, stale_because
from subgraph.catalog.tree import read_tree

FILES = {"dist/skill.wasm": b"component", "src/index.ts": b"one", "src/b.ts": b"two", "assets/a.json": b"{}"}


def digest(data: bytes) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(data).hexdigest()}]


def written(directory: Path, **names: bytes) -> Path:
    """Write a skill with its bill; further names went into the component from elsewhere."""
    for path, data in FILES.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    inside = {path: data for path, data in FILES.items() if not path.startswith("dist/")} | names
    bill = {
        "metadata": {"component": {"hashes": digest(FILES["dist/skill.wasm"])}},
        "components": [
            *({"type": "file", "name": name, "hashes": digest(data)} for name, data in inside.items()),
            {"type": "library", "name": "quickjs"},
        ],
    }
    write_bill(directory, json.dumps(bill).encode())
    return directory


def write_bill(directory: Path, text: bytes) -> None:
    (directory / BILL_PATH).write_bytes(text)


def stale(directory: Path) -> str | None:
    return stale_because(directory, read_tree(directory).files.keys())


def test_a_component_of_its_sources_is_fresh_whatever_their_times(tmp_path: Path) -> None:
    skill = written(tmp_path)
    (skill / "src" / "index.ts").touch()
    (skill / "src" / "new.ts").write_bytes(b"nobody imports it")
    (skill / "README.md").write_bytes(b"")
    assert stale(skill) is None


@pytest.mark.parametrize("path", ["src/index.ts", "src/b.ts", "assets/a.json"])
def test_a_changed_source_makes_it_stale(tmp_path: Path, path: str) -> None:
    skill = written(tmp_path)
    (skill / path).write_bytes(b"changed")
    assert stale(skill) == f"dist/skill.wasm was built from another {path} than the skill has: build it again"


def test_a_source_that_is_gone_makes_it_stale_unless_none_is_published(tmp_path: Path) -> None:
    skill = written(tmp_path)
    (skill / "src" / "b.ts").unlink()
    assert "src/b.ts" in (stale(skill) or "")
    (skill / "src" / "index.ts").unlink()
    assert stale(skill) is None


def test_another_component_is_not_that_of_the_bill(tmp_path: Path) -> None:
    skill = written(tmp_path)
    (skill / "dist" / "skill.wasm").write_bytes(b"another")
    assert stale(skill) == "dist/skill.wasm is not the component of dist/skill.cdx.json: build it again"


def test_files_elsewhere_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "beside").write_bytes(b"beside")
    names = {"../beside": b"x", "cyberos-guest/input.ts": b"x", "/etc/hostname": b"x"}
    assert stale(written(tmp_path / "skill", **names)) is None


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["metadata", "components"]), inner),
    )
)
def test_what_is_no_bill_says_nothing(tmp_path_factory: pytest.TempPathFactory, bill: Any) -> None:
    skill = written(tmp_path_factory.mktemp("skill"))
    write_bill(skill, json.dumps(bill).encode())
    assert stale(skill) is None


def test_a_skill_without_a_bill_says_nothing(tmp_path: Path) -> None:
    skill = written(tmp_path)
    (skill / BILL_PATH).unlink()
    (skill / "src" / "b.ts").unlink()
    assert stale(skill) is None
