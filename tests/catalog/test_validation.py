"""A skill is reported on as a whole, whatever its files are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.catalog import validate
from subgraph.catalog.activated_skill import MANIFEST_BYTES_LIMIT
from subgraph.catalog.manifest import METADATA_LIMIT, parse_manifest
from subgraph.errors import SourceInvalid
from tests.catalog.written import errors, warnings, written
from tests.support.skill_samples import samples
from tests.support.toolchain import ROOT


def test_the_report_has_the_documented_layout(tmp_path: Path) -> None:
    skill = tmp_path / "vn-tax-filing"
    (skill / "references").mkdir(parents=True)
    (skill / "references" / "gdt-q-return-schema-v3.md").write_text("x" * 1000)
    text = (
        f"---\nname: vn-tax-filing\ndescription: {'d' * 412}\nlicense: Apache-2.0\nmetadata:\n"
        '  version: "0.1.0"\n  region: VN\nallowed-tools: read_file write_file\n---\n'
        "See [the schema](references/gdt-q-return-schema-v3.md).\n"
    )
    (skill / "SKILL.md").write_text(text)
    report = validate(skill)
    assert report.ok
    assert report.findings == ()
    assert report.lines() == [
        "[validate]   reading SKILL.md ...  OK (608 bytes)",
        "[validate]   frontmatter parse ...  OK",
        "[validate]   field: name=vn-tax-filing  OK (dir-match)",
        "[validate]   field: description (412 chars)  OK",
        "[validate]   field: license=Apache-2.0  OK (SPDX)",
        "[validate]   field: metadata.version=0.1.0  OK (SemVer)",
        "[validate]   field: metadata.region=VN  OK",
        "[validate]   field: allowed-tools=read_file,write_file  OK (declared)",
        "[validate]   body (1 line)  OK (about 14 tokens)",
        "[validate]   referenced files: references/gdt-q-return-schema-v3.md  OK",
        "[validate]   files  OK (2, 1.6 KB)",
        "[validate]   ✅ valid Agent Skill · would load in Claude Code, Codex, Cursor, VS Code",
    ]


def test_what_is_wrong_stands_in_the_place_of_ok_and_is_counted(tmp_path: Path) -> None:
    report = validate(written(tmp_path, "author: me", "license:"))
    assert not report.ok
    assert "[validate]   field: license=  WARNING line 5: empty" in report.lines()
    assert (
        "[validate]   field: author  ERROR line 4: not a field of the standard; put it into metadata"
        in report.lines()
    )
    assert report.lines()[-1] == "[validate]   ❌ no valid Agent Skill · 1 error, 1 warning"


SKILLS = sorted(path.parent for path in (ROOT / "skills").rglob("SKILL.md"))


@pytest.mark.parametrize("skill", SKILLS, ids=lambda path: path.name)
def test_skills_of_the_repository_have_nothing_to_warn_of(skill: Path) -> None:
    declared = "cyberos-component" in (skill / "SKILL.md").read_text(encoding="utf-8")
    built = (skill / "dist" / "skill.wasm").exists()
    report = validate(skill)
    assert report.ok == (built or not declared)
    assert not warnings(report)


def test_published_skills_are_valid(tmp_path: Path) -> None:
    for sample in samples(60):
        directory = tmp_path / sample.path
        (directory / "scripts").mkdir(parents=True)
        (directory / "scripts" / "run.py").write_text("")
        (directory / "SKILL.md").write_bytes(sample.manifest)
        assert validate(directory).ok, validate(directory).lines()


def test_a_byte_order_mark_is_a_warning(tmp_path: Path) -> None:
    manifest = written(tmp_path) / "SKILL.md"
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())
    assert warnings(validate(tmp_path / "ok")) == [
        "line 1: a byte order mark, which the reference validator refuses"
    ]


def test_a_link_is_an_error_and_the_rest_is_told_as_well(tmp_path: Path) -> None:
    skill = written(tmp_path, "x: y")
    (skill / "link").symlink_to("SKILL.md")
    assert errors(validate(skill)) == [
        "line 4: x: not a field of the standard; put it into metadata",
        "link: cannot be read (a link?): Too many levels of symbolic links",
    ]


@pytest.mark.parametrize("kind", ["nothing", "empty", "file", "link", "pipe", "lower", "large"])
def test_whatever_is_no_skill_is_an_error(tmp_path: Path, kind: str) -> None:
    directory = tmp_path / "ok"
    if kind == "file":
        directory.write_text("")
    elif kind == "link":
        written(tmp_path).rename(tmp_path / "elsewhere")
        directory.symlink_to("elsewhere")
    elif kind != "nothing":
        directory.mkdir()
        if kind == "pipe":
            os.mkfifo(directory / "SKILL.md")
        if kind == "lower":
            (directory / "skill.md").write_text("---\nname: ok\ndescription: d\n---\n")
        if kind == "large":
            written(tmp_path, body="x" * MANIFEST_BYTES_LIMIT)
    report = validate(directory)
    assert not report.ok
    assert report.lines()[-1].startswith("[validate]   ❌")


def test_a_directory_may_be_named_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(written(tmp_path))
    assert validate(Path()).ok


def test_nothing_in_a_skill_reaches_the_terminal_unseen(tmp_path: Path) -> None:
    skill = written(
        tmp_path,
        'license: "\\e[31mred\\u202e\\nnext"',
        '"\\e]0;title\\a": x',
        "metadata:",
        '  "\\e[2J": "\\e[1m"',
        body="[x](\x1b[31m.md)\n",
    )
    text = "".join(validate(skill).lines())
    assert text.isprintable(), text


def test_everything_is_bounded(tmp_path: Path) -> None:
    many = [f"  k{number}: v" for number in range(1000)]
    report = validate(
        written(
            tmp_path, "metadata:", *many, *(f"u{number}: x" for number in range(800)), body="scripts/x " * 9
        )
    )
    assert f"line 4: metadata: over {METADATA_LIMIT} keys" in errors(report)
    assert len(report.checks) < 200


@settings(max_examples=200)
@given(
    data=st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
    )
)
def test_whatever_is_valid_loads_without_a_warning_that_was_not_told(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    skill = tmp_path_factory.getbasetemp() / "ok"
    skill.mkdir(exist_ok=True)
    for document in (
        data,
        b"---\n" + data + b"\n---\n",
        b"---\nname: ok\ndescription: d\n" + data + b"\n---\n",
    ):
        (skill / "SKILL.md").write_bytes(document)
        report = validate(skill)
        told = {finding.field for finding in report.findings}
        try:
            manifest, _ = parse_manifest(document, "ok")
        except SourceInvalid:
            assert not report.ok
        else:
            assert report.ok is False or {warning.field for warning in manifest.warnings} <= told
