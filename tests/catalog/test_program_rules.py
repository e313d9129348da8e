"""The script and the component that a skill names."""

from __future__ import annotations

from pathlib import Path

import pytest

from subgraph.catalog import validate
from tests.catalog.written import errors, warnings, written
from tests.support.skills import component


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("scripts/run.py", None),
        ("scripts/none.py", "the skill has no such file"),
        ("scripts/run.sh", "must be a Python file (.py) in scripts/"),
        ("../ok/scripts/run.py", "must be a Python file (.py) in scripts/"),
    ],
)
def test_the_script_must_be_there(tmp_path: Path, script: str, error: str | None) -> None:
    skill = written(tmp_path, "metadata:", f"  cyberos-script: {script}")
    (skill / "scripts").mkdir()
    for name in ("run.py", "run.sh", "other.py"):
        (skill / "scripts" / name).write_text("")
    found = [] if error is None else [f"line 5: metadata.cyberos-script: {error}"]
    assert errors(validate(skill)) == found
    (only,) = warnings(validate(written(tmp_path)))
    assert only.endswith("the skill has several scripts and none is named in metadata.cyberos-script")


@pytest.mark.parametrize(
    ("path", "data", "error"),
    [
        ("dist/skill.wasm", component(), None),
        ("dist/skill.wasm", None, "the skill has no such file: build it"),
        ("dist/skill.wasm", b"\0asm\1\0\0\0", "a core module, no component"),
        ("dist/skill.wasm", b"", "no WebAssembly"),
        ("skill.wasm", component(), "must be dist/skill.wasm"),
    ],
)
def test_the_component_must_be_there(
    tmp_path: Path, path: str, data: bytes | None, error: str | None
) -> None:
    skill = written(tmp_path, "metadata:", f"  cyberos-component: {path}")
    if data is not None:
        (skill / path).parent.mkdir(exist_ok=True)
        (skill / path).write_bytes(data)
    found = [] if error is None else [f"line 5: metadata.cyberos-component: {error}"]
    assert errors(validate(skill)) == found


def test_a_component_that_nobody_declares_is_looked_at_too(tmp_path: Path) -> None:
    skill = written(tmp_path)
    (skill / "dist").mkdir()
    (skill / "dist" / "skill.wasm").write_bytes(b"text")
    assert errors(validate(skill)) == ["metadata.cyberos-component: no WebAssembly"]
