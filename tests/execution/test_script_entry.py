"""Which file of a skill is its script."""

from __future__ import annotations

import pytest

from subgraph.errors import SourceInvalid
from subgraph.execution.script_entry import script_entry


def test_the_only_python_file_in_scripts_is_meant() -> None:
    assert script_entry(["SKILL.md", "scripts/a.py", "other/b.py"], None) == "scripts/a.py"


def test_files_that_it_imports_or_reads_are_not_candidates() -> None:
    files = ["scripts/a.py", "scripts/lib/b.py", "scripts/data.json", "scripts/run.sh"]
    assert script_entry(files, None) == "scripts/a.py"


def test_a_declared_one_is_meant_however_many_there_are() -> None:
    files = ["scripts/a.py", "scripts/b.py", "scripts/lib/c.py"]
    assert script_entry(files, "scripts/b.py") == "scripts/b.py"
    assert script_entry(files, "scripts/lib/c.py") == "scripts/lib/c.py"


@pytest.mark.parametrize(
    ("files", "declared", "message"),
    [
        ([], None, "no Python script in scripts/"),
        (["scripts/lib/a.py", "a.py"], None, "no Python script in scripts/"),
        (
            ["scripts/b.py", "scripts/a.py"],
            None,
            "several scripts; name one in metadata.cyberos-script: scripts/a.py, scripts/b.py",
        ),
        (["scripts/a.sh"], None, "scripts/a.sh is a shell script"),
        (["scripts/a.sh"], "scripts/a.sh", "scripts/a.sh is a shell script"),
        (
            ["scripts/a.py"],
            "scripts/b.py",
            "names 'scripts/b.py', which the skill does not have; its scripts",
        ),
        (["scripts/a.json"], "scripts/b.py", "its scripts: none"),
        (["scripts/a.json"], "scripts/a.json", "must be a Python file"),
        (["a.py", "scripts/b.py"], "a.py", "must be a file in scripts/, not 'a.py'"),
        (["scripts/a.py"], "scripts/../../a.py", "which the skill does not have"),
        (["scripts/a.py"], "/etc/passwd", "must be a file in scripts/"),
    ],
)
def test_what_is_no_script_is_refused_and_named(files: list[str], declared: str | None, message: str) -> None:
    with pytest.raises(SourceInvalid) as caught:
        script_entry(files, declared)
    assert message in caught.value.message
