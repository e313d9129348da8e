"""Every rule of the open standard, told with the field and the line, whatever the files are."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.capabilities import declared_capabilities
from subgraph.catalog import Level, Report, validate
from subgraph.catalog.activation import MANIFEST_BYTES_LIMIT
from subgraph.catalog.body_rules import LINES_ADVISED, TOKENS_ADVISED
from subgraph.catalog.field_rules import TOOLS_LIMIT
from subgraph.catalog.manifest import METADATA_LIMIT, TEXT_BOUND, TOOLS_BOUND, parse_manifest
from subgraph.errors import SourceInvalid
from tests.support.skill_samples import samples
from tests.support.skills import component
from tests.support.toolchain import ROOT

HEAD = ("name: ok", "description: Does it. Use when it is to be done.")


def written(directory: Path, *lines: str, body: str = "# Do it\n", head: tuple[str, ...] = HEAD) -> Path:
    """Write a skill named `ok`, with these lines of front matter beside the two that must be there."""
    skill = directory / "ok"
    skill.mkdir(exist_ok=True)
    (skill / "SKILL.md").write_text("\n".join(["---", *head, *lines, "---", body]), encoding="utf-8")
    return skill


def errors(report: Report) -> list[str]:
    assert report.ok == all(finding.level is not Level.ERROR for finding in report.findings)
    return [str(finding) for finding in report.findings if finding.level is Level.ERROR]


def warnings(report: Report) -> list[str]:
    return [str(finding) for finding in report.findings if finding.level is Level.WARNING]


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


@pytest.mark.parametrize(
    "name", ["a", "a1", "1-a", "a" * 64, "a-b-c", "é", "đơn-hàng", "१", "中文", "a\u0301"]
)
def test_a_name_within_the_rules_is_valid(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "SKILL.md").write_text(f"---\nname: '{name}'\ndescription: d\n---\nx\n")
    assert validate(tmp_path / name).findings == ()


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("Ok", {"must be lower-case"}),
        ("a_b", {"must hold nothing but letters, digits and hyphens"}),
        ("-a", {"must neither begin nor end with a hyphen"}),
        ("a-", {"must neither begin nor end with a hyphen"}),
        ("a--b", {"must not have two hyphens in a row"}),
        ("a" * 65, {"must be 1 to 64 characters long, has 65"}),
        ("other", set()),
        ("A_", {"must be lower-case", "must hold nothing but letters, digits and hyphens"}),
    ],
)
def test_a_name_is_told_every_rule_that_it_breaks(tmp_path: Path, name: str, faults: set[str]) -> None:
    report = validate(written(tmp_path, head=(f"name: {name}", HEAD[1])))
    expected = {*faults, "must be that of the directory, ok"}
    assert set(errors(report)) == {f"line 2: name: {fault}" for fault in expected}


def test_letters_are_compared_in_one_composition(tmp_path: Path) -> None:
    (tmp_path / "e\u0301").mkdir()  # as macOS writes it
    (tmp_path / "e\u0301" / "SKILL.md").write_text("---\nname: \u00e9\ndescription: d\n---\nx\n")
    assert validate(tmp_path / "e\u0301").findings == ()


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ((HEAD[1],), "name: missing or empty"),
        ((HEAD[0],), "description: missing or empty"),
        ((HEAD[0], "description: ' '"), "line 3: description: missing or empty"),
        ((HEAD[0], "description:", "  - a"), "line 3: description: must be text"),
        ((HEAD[0], "description: " + "đ" * 1025), "line 3: description: over 1024 characters"),
        ((HEAD[0], 'description: "a\\0"'), "line 3: description: holds control characters"),
        ((*HEAD, "compatibility: " + "x" * 501), "line 4: compatibility: over 500 characters"),
        ((*HEAD, "compatibility: ''"), "line 4: compatibility: missing or empty"),
        ((*HEAD, "license:", "  a: b"), "line 4: license: must be text"),
        ((*HEAD, "metadata: x"), "line 4: metadata: must be a mapping of text to text"),
        ((*HEAD, "metadata:", "  a: b", "  c:", "    - d"), "line 6: metadata.c: must be text"),
        ((*HEAD, "allowed-tools:", "  a: b"), "line 4: allowed-tools: must be text"),
        ((*HEAD, "version: x"), "line 4: version: not a field of the standard; put it into metadata"),
        ((*HEAD, "name: ok"), "line 4: name: the front matter has this key twice"),
        ((*HEAD, "license: a: b"), "line 4: license: a value that holds a colon must be quoted"),
        ((*HEAD, "\tx"), "line 4: the front matter is not YAML"),
    ],
)
def test_a_broken_rule_is_an_error_with_its_field_and_line(
    tmp_path: Path, lines: tuple[str, ...], error: str
) -> None:
    assert errors(validate(written(tmp_path, head=lines))) == [error]


def test_texts_at_their_bounds_are_valid(tmp_path: Path) -> None:
    head = ("name: ok", "description: " + "đ" * 1024, "compatibility: " + "x" * 500)
    assert validate(written(tmp_path, head=head)).findings == ()


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("version: 1.0", "1.0 is a number to readers of YAML; write it in quotes"),
        ("region: NO", "NO is true or false to readers of YAML; write it in quotes"),
        ("version: v1", "not a version of SemVer, as 1.0.0 is"),
        ("region: Vietnam", "not a country of ISO 3166, as VN is"),
        ("cyberos-nonsense: x", "not a field of this host"),
        ("cyberos-activation-events: onNonsense", "onNonsense is no activation event"),
        ("cyberos-depends-on: one, Two", "Two is no name of a skill"),
        (f"a: {'x' * (TEXT_BOUND + 1)}", f"over {TEXT_BOUND} characters; it is passed over"),
    ],
)
def test_what_hosts_read_differently_is_a_warning(tmp_path: Path, line: str, warning: str) -> None:
    report = validate(written(tmp_path, "metadata:", f"  {line}"))
    assert report.ok
    assert f"line 5: metadata.{line.partition(':')[0]}: {warning}" in warnings(report)


@pytest.mark.parametrize(
    "line",
    ["license: !!str MIT", "license: &a MIT", "allowed-tools: [a]", "metadata: {a: b}", "license: a --- b"],
)
def test_what_the_reference_validator_refuses_is_a_warning(tmp_path: Path, line: str) -> None:
    report = validate(written(tmp_path, line))
    assert report.ok
    assert any("reference validator" in warning and "line 4" in warning for warning in warnings(report))


def test_a_byte_order_mark_is_a_warning(tmp_path: Path) -> None:
    manifest = written(tmp_path) / "SKILL.md"
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())
    assert warnings(validate(tmp_path / "ok")) == [
        "line 1: a byte order mark, which the reference validator refuses"
    ]


def tool_problem(entry: str) -> str | None:
    found = declared_capabilities(entry)
    return found[0].problem if found else "is no capability"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("read_file fetch_url(https://*.vn/*)", []),
        ("read_file Bash(git diff:*)", ["Bash(git diff:*): Bash is not a capability of this host"]),
        ("read_file, write_file", ["separated by commas; the standard has spaces"]),
        ("Bash(a, b)", ["Bash(a, b): Bash is not a capability of this host"]),
        ("read_file ((", ["((: is no capability"]),
    ],
)
def test_tools_are_asked_for_one_by_one(tmp_path: Path, value: str, said: list[str]) -> None:
    report = validate(written(tmp_path, f"allowed-tools: {value}"), check_tool=tool_problem)
    assert report.ok
    assert warnings(report) == [f"line 4: allowed-tools: {message}" for message in said]


def test_tools_may_be_a_list_with_a_warning(tmp_path: Path) -> None:
    skill = written(tmp_path, "allowed-tools:", "  - read_file", "  - Bash(a b)")
    report = validate(skill, check_tool=tool_problem)
    assert warnings(report) == [
        "line 4: allowed-tools: a list; the standard has one text, separated by spaces",
        "line 4: allowed-tools: Bash(a b): Bash is not a capability of this host",
    ]


def test_tools_have_bounds_and_odd_ones_take_no_time(tmp_path: Path) -> None:
    asked: list[str] = []

    def note(tool: str) -> None:
        asked.append(tool)

    skill = written(tmp_path, f"allowed-tools: {' '.join(f't{number}' for number in range(2000))}")
    assert warnings(validate(skill, check_tool=note)) == [
        f"line 4: allowed-tools: over {TOOLS_LIMIT} tools; the rest is not looked at",
        f"line 4: allowed-tools: over {TOOLS_BOUND} characters; nothing is declared",
    ]
    assert asked == [f"t{number}" for number in range(TOOLS_LIMIT)]
    for odd in ("(" * 60_000, "a" + "," * 60_000 + ")", "(a " * 20_000, "()" * 30_000):
        started = time.process_time()
        validate(written(tmp_path, f"allowed-tools: {odd}"))
        assert time.process_time() - started < 0.5  # of the processor; what grows as a square takes minutes


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


@settings(max_examples=200, deadline=None)
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
