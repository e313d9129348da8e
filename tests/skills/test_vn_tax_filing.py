"""vn-tax-filing reads invoices: generated, damaged and hostile ones, by the reference and the component."""

from __future__ import annotations

import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.parsers import expat

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.authoring.fixtures import laid_out
from subgraph.execution.confinement import NOTHING
from subgraph.execution.protocol import HostCall
from subgraph.execution.script_pool import Script
from tests.execution.scripts import LIMITS, Host, scripts
from tests.support import invoices
from tests.support.kernel import needs_script_confinement
from tests.support.parity import SKILLS, Reference, Twins, fixtures_of
from tests.support.toolchain import Answer

SKILL = SKILLS / "cyberskill-vn" / "vn-tax-filing"
FIXTURES = {fixture.id: fixture for fixture in fixtures_of(SKILL)}

REFERENCE = Reference(SKILL)
"""Without files, for what needs none."""

Both = Callable[[object], dict[str, Any]]

property_test = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def twins(workspace: Path) -> Twins:
    return Twins(SKILL, workspace)


@pytest.fixture(scope="module")
def both(twins: Twins) -> Both:
    """Ask the reference and the component for an answer that is no error."""

    def ask(request: object) -> dict[str, Any]:
        answer = twins.ask(json.dumps(request))
        assert answer.ok, answer.text
        parsed: dict[str, Any] = json.loads(answer.text)
        return parsed

    return ask


def lay(workspace: Path, files: dict[str, bytes]) -> None:
    directory = workspace / "invoices"
    directory.mkdir(exist_ok=True)
    for old in directory.iterdir():
        old.unlink()
    for name, content in files.items():
        (directory / name).write_bytes(content)


class TestQuickstart:
    def test_starts_with_what_the_documentation_prints(self, both: Both, workspace: Path) -> None:
        quickstart = FIXTURES["quickstart"]
        with laid_out(workspace, quickstart.files):
            answer = both(json.loads(quickstart.text))
            written = (workspace / "returns" / "2026-Q2.xml").read_text(encoding="utf-8")
        assert list(answer.items())[:7] == [
            ("period", "2026-Q2"),
            ("output_vat_total", 25_000_000),
            ("input_vat_total", 18_000_000),
            ("net_vat_due", 7_000_000),
            ("gdt_xml_path", "./returns/2026-Q2.xml"),
            ("ready_for_submission", True),
            ("next_action", "human review then upload to https://thuedientu.gdt.gov.vn"),
        ]
        assert written == quickstart.written["returns/2026-Q2.xml"]

    def test_the_component_can_reach_the_files_alone(self, twins: Twins) -> None:
        assert twins.guest.imports() == {"cyberos:skill/host@0.1.0": ["list-dir", "read-file", "write-file"]}


class TestCampaigns:
    """Generated invoices, whose totals Python's `decimal` knows."""

    @property_test
    @given(seed=st.integers(0, 2**32), count=st.integers(1, 12), corrupt=st.sampled_from([0.0, 0.3]))
    def test_totals_are_those_of_the_generator(
        self, both: Both, workspace: Path, seed: int, count: int, corrupt: float
    ) -> None:
        self.check(both, workspace, count, seed, corrupt)

    def test_of_300_invoices_each_bad_one_is_named(self, both: Both, workspace: Path) -> None:
        answer = self.check(both, workspace, 300, 20_261_120, 0.01)
        assert len(answer["skipped"]) == 3
        assert not answer["ready_for_submission"]
        assert "files_skipped" in answer["not_ready_because"]

    @pytest.mark.parametrize("damage", invoices.KINDS)
    def test_each_kind_of_damage_is_named(
        self, both: Both, workspace: Path, damage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(invoices, "KINDS", (damage,))
        answer = self.check(both, workspace, 6, 7, 0.5)
        assert {entry["reason"] for entry in answer["skipped"]} == {invoices.REASONS[damage]}

    def test_signed_ones_without_fault_are_ready(self, both: Both, workspace: Path) -> None:
        lay(workspace, dict(invoices.generate(40, 1, profile="gdt", signed=True)))
        answer = both(invoices.request("invoices", write=False))
        assert answer["ready_for_submission"] is True
        assert answer["not_ready_because"] == []

    def test_a_signature_of_blanks_alone_is_none(self, both: Both, workspace: Path) -> None:
        blanks = [chr(code) for code in range(0x10000) if chr(code).isspace() or code == 0xFEFF]
        blanks = [blank for blank in blanks if blank >= " " or blank in "\t\n\r"]
        made = list(invoices.generate(len(blanks), 3, profile="gdt", signed=True))
        value = "QUJD" * 40
        files = {
            name: content.replace(value.encode(), blank.encode())
            for (name, content), blank in zip(made, blanks, strict=True)
        }
        lay(workspace, files)
        answer = both(invoices.request("invoices", write=False))
        assert answer["counts"]["drafts"] == answer["counts"]["counted"] == len(blanks) > 20
        assert answer["not_ready_because"] == ["draft_invoices"]

    def test_purchases_of_buyers_without_a_code_tell_no_taxpayer(self, both: Both, workspace: Path) -> None:
        made = dict(invoices.generate(12, 4, profile="gdt", signed=True))
        bought = {
            name: content.replace(f"<MST>{invoices.TAXPAYER}</MST>".encode(), b"")
            for name, content in made.items()
            if content.index(b"</NBan>") < content.index(invoices.TAXPAYER.encode())
        }
        lay(workspace, dict([bought.popitem()]))
        asked = invoices.request("invoices", write=False, taxpayer_mst=None)
        assert both(asked)["reason"] == "taxpayer_unknown"
        lay(workspace, made)
        taxpayer = both(asked)["taxpayer"]
        assert (taxpayer["mst"], taxpayer["inferred"]) == (invoices.TAXPAYER, True)

    def test_refuse_names_all_that_skip_would(self, both: Both, workspace: Path) -> None:
        lay(workspace, dict(invoices.generate(40, 2, 0.2)))
        skipped = both(invoices.request("invoices", write=False))["skipped"]
        refused = both(invoices.request("invoices", bad_files="refuse"))
        assert (refused["ok"], refused["reason"], refused["skipped"]) == (False, "files_refused", skipped)
        assert not (workspace / "returns").exists()

    def check(self, both: Both, workspace: Path, count: int, seed: int, corrupt: float) -> dict[str, Any]:
        lay(workspace, dict(invoices.generate(count, seed, corrupt)))
        answer = both(invoices.request("invoices", write=False))
        expected = invoices.expected(count, seed, corrupt)
        assert {name: answer["indicators"][name] for name in expected.indicators} == expected.indicators
        assert {entry["file"]: entry["reason"] for entry in answer["skipped"]} == expected.damaged
        assert [entry["file"] for entry in answer["skipped"]] == sorted(expected.damaged)
        assert answer["counts"]["counted"] == expected.counted
        assert answer["counts"]["drafts"] == expected.drafts
        return answer


def billion_laughs() -> str:
    entities = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10))
    return f'<!DOCTYPE HDon [<!ENTITY a0 "ha">{entities}]><HDon>&a9;</HDon>'


BOMBS = {
    "billion-laughs": (billion_laughs(), "xml_doctype"),
    "quadratic": (
        '<!DOCTYPE a [<!ENTITY b "' + "x" * 50_000 + '">]><a>' + "&b;" * 5_000 + "</a>",
        "xml_doctype",
    ),
    "external": ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "xml_doctype"),
    "external-type": ('<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>', "xml_doctype"),
    "parameter": ('<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1/b"> %b;]><a/>', "xml_doctype"),
    "without-type": ("<HDon>&b;</HDon>", "xml_entity"),
    "in-content": ('<a><!ENTITY b "c"></a>', "xml_markup"),
    "small-letters": ("<!doctype a><a/>", "xml_markup"),
    "include": ('<?xml-stylesheet href="file:///etc/passwd"?><a/>', "xml_processing_instruction"),
    "deep": ("<a>" * 50_000, "xml_depth"),
    "wide": ("<r" + "".join(f' a{number}=""' for number in range(100)) + "/>", "xml_attribute"),
    "many": ("<a>" + "<b/>" * 99_999 + "</a>", "xml_too_many_tags"),
    "long": ("<a>" + "x" * 1_048_576 + "</a>", "xml_too_long"),
    "long-in-bytes": ("<a>" + "ế" * 400_000 + "</a>", "xml_too_long"),
    "half-a-pair": ("<a>&#xD800;</a>", "xml_character"),
    "null": ("<a>&#0;</a>", "xml_character"),
    "other-encoding": ('<?xml version="1.0" encoding="UTF-16"?><a/>', "xml_encoding"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_and_named(both: Both, workspace: Path, bomb: str) -> None:
    text, reason = BOMBS[bomb]
    good = dict(invoices.generate(1, 1, profile="gdt", signed=True))
    lay(workspace, {**good, "bomb.xml": text.encode()})
    answer = both(invoices.request("invoices", write=False))
    assert answer["skipped"] == [{"file": "bomb.xml", "reason": reason}]
    assert answer["counts"]["counted"] == 1


# Pieces of XML in any order, most of them broken where parsers might differ.
PIECES = st.lists(
    st.sampled_from(
        [
            *("<a>", "</a>", "<b>", "</b>", "<a/>", "<a >", "</a >", "<b c='d'>", '<b c="d" e=""/>'),
            *("<b c = 'd' c='e'>", "text", " ", "\n", "\r\n", "\t", "đ", "&amp;", "&lt;", "&#65;", "&#x41;"),
            *("&#xd800;", "&#0;", "&#xA;", "&", "&b;", "&amp", "&#;", "&#x;", "]]>", "]]", ">", "<", "<!--"),
            *("-->", "--", "<!-- c -->", "<![CDATA[", "<![CDATA[<x>&]]>", "]", "<!DOCTYPE a>", "<!", "<?"),
            *("?>", "<?p?>", "<?xml version='1.0'?>", "\ufeff", "<?xml version='1.0' encoding='UTF-8'?>"),
            *("<?xml version='1.0' encoding='utf-8' standalone='no' ?>", "<:a>", "<a:b/>", "<-a/>", "<1/>"),
            *("<a.b-c_1/>", "< a>", "</ a>", "<a b>", "<a b=c>", "<a b='<'/>", "<a/ >", "<a b='c'd='e'/>"),
            *("<a b='&#10;\n\t'/>", "\x00", "\x0b", "\x7f", "\ufffe", "<ế/>", "'", '"', "=", "/"),
        ]
    ),
    max_size=14,
).map("".join)
DOCUMENTS = st.one_of(PIECES, PIECES.map(lambda inner: f"<a>{inner}</a>"))


def reads(text: str) -> bool:
    # Named here, since a declaration may name any: `encoding` is for the reader to refuse.
    parser = expat.ParserCreate("utf-8")
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError:
        return False
    return True


def is_stricter(text: str, code: str) -> bool:
    """Where the reader refuses on purpose what XML allows."""
    body = text.removeprefix("\ufeff")
    return (
        (code == "doctype" and "<!DOCTYPE" in body)
        or (code == "processing_instruction" and "<?" in body)
        or (code in {"depth", "encoding", "declaration", "too_long"})
    )


class TestReader:
    """The reader against expat, an independent one."""

    def verdict(self, text: str) -> str | None:
        reader = REFERENCE.modules["skill_xml_reader"]
        try:
            reader.read_xml(text, 1 << 20)
        except reader.XmlRefusedError as refused:
            return str(refused)
        return None

    @settings(max_examples=3000)
    @given(text=DOCUMENTS)
    def test_verdicts_are_those_of_expat_but_where_it_is_stricter(self, text: str) -> None:
        code = self.verdict(text)
        if code is None:
            assert reads(text)
        else:
            assert not reads(text) or is_stricter(text, code), code

    @pytest.mark.parametrize(
        "text",
        [
            "<!DOCTYPE a><a/>",
            "<a><?p?></a>",
            "<?xml version='1.1'?><a/>",
            "<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
            "<a>" * 33 + "</a>" * 33,
            "<a" + "".join(f" a{number}=''" for number in range(65)) + "/>",
            "<" + "a" * 257 + "/>",
            "<a>" + "<b/>" * 99_999 + "</a>",
        ],
        ids=["doctype", "instruction", "version", "encoding", "depth", "attributes", "name", "tags"],
    )
    def test_is_stricter_on_purpose(self, text: str) -> None:
        assert reads(text)
        assert self.verdict(text) is not None

    @settings(max_examples=300)
    @given(text=DOCUMENTS)
    def test_trees_are_those_of_the_standard_library(self, text: str) -> None:
        reader = REFERENCE.modules["skill_xml_reader"]
        if self.verdict(text) is not None or ":" in text:
            return
        parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=False))  # noqa: S314
        parser.feed(text.encode())
        self.same(reader.read_xml(text, 1 << 20), parser.close())

    def same(self, ours: Any, theirs: ET.Element) -> None:
        assert ours.name == theirs.tag
        assert ours.attributes == theirs.attrib
        assert ours.text == (theirs.text or "") + "".join(child.tail or "" for child in theirs)
        assert len(ours.children) == len(theirs)
        for one, other in zip(ours.children, theirs, strict=True):
            self.same(one, other)

    @property_test
    @given(texts=st.lists(DOCUMENTS, min_size=1, max_size=20), seed=st.integers(0, 2**32))
    def test_both_readers_give_the_same_verdicts(
        self, both: Both, workspace: Path, texts: list[str], seed: int
    ) -> None:
        choice = random.Random(seed)  # noqa: S311
        mutated = [mutation(choice, content.decode()) for _, content in invoices.generate(len(texts), seed)]
        files = {f"{number:02}.xml": text.encode() for number, text in enumerate([*texts, *mutated])}
        lay(workspace, files)
        for name, text in files.items():
            code = self.verdict(text.decode())
            assert (code is None) == reads(text.decode()) or (code and is_stricter(text.decode(), code)), name
        both(invoices.request("invoices", write=False))


def mutation(choice: random.Random, text: str) -> str:
    """An invoice with a few characters taken out, doubled or put elsewhere."""
    for _ in range(choice.randint(0, 3)):
        start = choice.randrange(len(text))
        end = min(len(text), start + choice.randint(1, 12))
        other = choice.randrange(len(text))
        part = text[start:end]
        kind = choice.randrange(4)
        if kind == 0:
            text = text[:start] + text[end:]
        elif kind == 1:
            text = text[:start] + part + text[start:]
        elif kind == 2:
            text = text[:other] + part + text[other:]
        else:
            text = text[:start] + choice.choice("<>&'\"/=! ]-9,.\x00") + text[start + 1 :]
    return text


def test_hosts_errors_are_not_passed_on(twins: Twins, workspace: Path) -> None:
    lay(workspace, dict(invoices.generate(1, 1)))
    (workspace / "taken.xml").mkdir(exist_ok=True)
    text = json.dumps(invoices.request("invoices", return_path="taken.xml"))
    for twin in (twins.reference, twins.guest):
        answer: Answer = twin.call(text)
        assert json.loads(answer.text)["reason"] == "return_not_written"
        assert str(workspace) not in answer.text
    (workspace / "taken.xml").rmdir()


@needs_script_confinement
@pytest.mark.parametrize("shared", [False, True], ids=["isolated", "shared"])
def test_the_script_gives_the_same_in_a_worker(tmp_path: Path, shared: bool) -> None:
    quickstart = FIXTURES["quickstart"]
    names = [Path(path).name for path in quickstart.files]
    texts: list[list[object]] = [["ok", text] for text in quickstart.files.values()]
    host = Host(["ok", names], *texts, ["ok", None])
    script = Script("hash", SKILL / "scripts" / "prepare_return.py", SKILL, shared=shared)
    with scripts(tmp_path) as executor:
        reply = executor.loop.run(executor.pool.run(script, quickstart.text, LIMITS, NOTHING, host=host))
    assert (reply.exit_code, reply.output) == (0, quickstart.answer), reply
    assert host.calls[-1] == HostCall("write_file", next(iter(quickstart.written.items())))
