"""The instructions, and the files that they name."""

from __future__ import annotations

from pathlib import Path

from subgraph.catalog import validate
from subgraph.catalog.body_rules import LINES_ADVISED, TOKENS_ADVISED
from tests.catalog.written import errors, warnings, written


def test_a_long_body_is_advised_against(tmp_path: Path) -> None:
    assert validate(written(tmp_path, body="x\n" * (LINES_ADVISED - 1))).findings == ()
    (lines,) = warnings(validate(written(tmp_path, body="x\n" * LINES_ADVISED)))
    assert lines == "body: 500 lines: the standard advises fewer than 500"
    (tokens,) = warnings(validate(written(tmp_path, body="x" * 4 * TOKENS_ADVISED)))
    assert tokens == "body: about 5000 tokens: the standard advises fewer than 5000"
    assert warnings(validate(written(tmp_path, body=" \n"))) == ["body: empty: it tells an agent nothing"]


def test_a_body_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    skill = written(tmp_path)
    (skill / "SKILL.md").write_bytes((skill / "SKILL.md").read_bytes() + b"\xff")
    assert errors(validate(skill)) == ["body: not UTF-8"]


def test_files_that_the_body_names_are_looked_for(tmp_path: Path) -> None:
    body = (
        "[a](references/a.md#part) [b](<references/b%20b.md>) [c](https://a.vn/references/c.md) [d](#d)\n"
        "Run scripts/run.py, then ./scripts/none.py. [e](../e.md) [f](/etc/f) "
        "myscripts/x.py a/./scripts/y.py references/x/y/deep.md "
        "[g](assets/)\n"
    )
    skill = written(tmp_path, body=body)
    for path in (
        "references/a.md",
        "references/b b.md",
        "scripts/run.py",
        "references/x/y/deep.md",
        "assets/x",
    ):
        (skill / path).parent.mkdir(parents=True, exist_ok=True)
        (skill / path).write_text("")
    outside = "WARNING outside of the skill; paths are relative to its directory"
    deep = "WARNING deeper than one level; the standard advises against it"
    lines = [line.partition("referenced files: ")[2] for line in validate(skill).lines()]
    assert list(filter(None, lines)) == [
        "references/a.md  OK",
        "references/b b.md  OK",
        "scripts/run.py  OK",
        "scripts/none.py  WARNING the skill has no such file",
        f"../e.md  {outside}",
        f"/etc/f  {outside}",
        f"references/x/y/deep.md  {deep}",
        "assets/  OK",
    ]
