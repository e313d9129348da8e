from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from subgraph.audit import (
    ChainStepNote,
    ChangedBank,
    ChangedLimits,
    ChangedTrust,
    ConsultedModel,
    CreatedGrant,
    DecidedRouting,
    DeniedCapability,
    Entry,
    ErasedSubject,
    ErrorNote,
    FinishedChain,
    FinishedRouting,
    Ledger,
    ReinstatedSkill,
    ReplayedRouting,
    RequestedCapability,
    RevokedGrant,
    RevokedSkill,
    StateNote,
    canonical,
)
from subgraph.audit.log_changes import DroppedEntries, RotatedKey
from subgraph.audit.records import FORMS, AuditRecord, find_record
from subgraph.errors import InputInvalid
from subgraph.storage import Database
from tests.audit.factory import NOON
from tests.support.postgres import run, settings_for

WHEN = datetime.fromtimestamp(1747200611, UTC)
COMMON = {
    "actor": "ann",
    "skill": "cuo/cpo/prd-author",
    "content_hash": "ab" * 32,
    "at": WHEN + timedelta(microseconds=999_999),
    "entry_id": "8c4e0000-0000-4000-8000-000000000001",
}
DECISIONS: list[Entry] = [
    CreatedGrant(**COMMON, capability="read_file(a/**)"),  # type: ignore[arg-type]
    RevokedGrant(**COMMON, capability="log"),  # type: ignore[arg-type]
    RequestedCapability(**COMMON, capability="log", request_id="r"),  # type: ignore[arg-type]
    DeniedCapability(**COMMON, capability="log", request_id="r", note="no"),  # type: ignore[arg-type]
    ChangedTrust(**COMMON, before="UNTRUSTED", after="LOCAL", warning="it opens"),  # type: ignore[arg-type]
    ChangedLimits(**COMMON, limits={"time_ms": 10}, executors=("WASM",)),  # type: ignore[arg-type]
    RevokedSkill(**COMMON, note="it leaks"),  # type: ignore[arg-type]
    ReinstatedSkill(**COMMON, note=""),  # type: ignore[arg-type]
    ErasedSubject(
        actor="ann",
        at=WHEN,
        entry_id="8c4e0000-0000-4000-8000-000000000002",
        subject="binh",
        destroyed=False,
    ),
    RotatedKey(actor="ann", at=WHEN, retired="log.example/a+1", current="log.example/a+2"),
    DroppedEntries(actor="ann", at=WHEN, first=1_048_576),
    FinishedRouting(
        actor="ann",
        at=WHEN,
        request_id="8c4e0000-0000-4000-8000-000000000001",
        state="failed",
        lifecycle=[StateNote("failed", WHEN)],
        skill="cuo/cpo/prd-author",
        invocation_id=None,
        error=ErrorNote(code="GRANT_REQUIRED", message="no"),
    ),
    ChangedBank(actor="ann", at=WHEN, version="1", sha256="ab", skills=1, keywords=2, text="version: 1"),
    ReplayedRouting(actor="ann", at=WHEN, request_id="r", skill=None, identical=True),
    FinishedChain(
        actor="ann",
        at=WHEN,
        request_id="r",
        state="failed",
        skill="a",
        steps=[ChainStepNote("buyer", "b", "failed", None, "GRANT_REQUIRED")],
        elapsed_us=1,
    ),
]
ROUTED = DecidedRouting(
    actor="ann",
    at=WHEN,
    entry_id="8c4e0000-0000-4000-8000-000000000001",
    state="picked",
    lifecycle=[],
    skill="cuo/cpo/prd-author",
    facts={
        "requestId": "8c4e0000-0000-4000-8000-000000000001",
        "catalogFingerprint": "9c8e",
        "skillName": "cuo/cpo/prd-author",
        "confidence": "0.70",
        "rationale": "2 keyword hits",
        "alternatives": [
            {"skillName": "cuo/cpo/fr-author", "score": "0.30"},
            {"skillName": "b", "score": "0.20"},
        ],
        "persona": "CPO",
        "personaVersion": "1",
        "missing": [],
    },
    key_id="k",
    query_commitment="ab" * 32,
    decision_commitment="cd" * 32,
    sealed=None,
)

CONSULTED = ConsultedModel(
    actor="ann",
    at=WHEN,
    entry_id="8c4e0000-0000-4000-8000-000000000002",
    request_id="8c4e0000-0000-4000-8000-000000000001",
    outcome="timeout",
    pick=None,
    facts={"model": "test-model", "temperature": "0.0", "seed": 0, "attempts": 2, "pick": None, "cost": None},
    key_id="k",
    prompt_commitment="ab" * 32,
    answer_commitment="cd" * 32,
    sealed_prompt=None,
    sealed_answer=None,
)


def record(entry: Entry) -> AuditRecord:
    return AuditRecord(0, entry.encode())


def test_a_decision_reads_as_the_documents_show() -> None:
    granted = record(DECISIONS[0])
    assert granted.address == "brain://meta/decisions/1747200611_8c4e.md"
    assert granted.markdown == (
        "---\n"
        "kind: decisions\n"
        "sync_class: private\n"
        "classification: internal\n"
        "schema: decision-v1\n"
        "---\n"
        "# Capability granted\n"
        "\n"
        "**Skill:** cuo/cpo/prd-author\n"
        "**Capability:** read\\_file(a/\\*\\*)\n"
        "**By:** ann\n"
        "**At:** 2025-05-14T05:30:11.999999Z\n"
        f"**Content hash:** {'ab' * 32}\n"
        "**Entry:** 8c4e0000-0000-4000-8000-000000000001\n"
    )


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.kind)
def test_every_kind_has_a_form_that_shows_all_it_says(decision: Entry) -> None:
    assert decision.kind in FORMS
    shown = {key for _, key in FORMS[decision.kind].fields}
    assert set(orjson.loads(decision.encode())) - {"schema", "kind", "level"} == shown


def test_every_form_is_for_a_kind_that_there_is() -> None:
    assert set(FORMS) == {decision.kind for decision in [*DECISIONS, ROUTED, CONSULTED]}


def test_how_a_model_was_asked_can_be_read() -> None:
    consulted = record(CONSULTED)
    assert consulted.address == "brain://meta/cuo-decisions/1747200611_8c4e.md"
    assert "# CUO model asked\n" in consulted.markdown
    assert "**Model:** test-model\n**Result:** timeout\n" in consulted.markdown
    assert orjson.loads(CONSULTED.encode())["level"] == "warn"


def test_a_decision_about_a_query_reads_as_the_documents_show() -> None:
    routed = record(ROUTED)
    assert routed.address == "brain://meta/cuo-decisions/1747200611_8c4e.md"
    assert routed.markdown == (
        "---\n"
        "kind: decisions\n"
        "sync_class: private\n"
        "classification: internal\n"
        "schema: cuo-decision-v1\n"
        "---\n"
        "# CUO routing decision\n"
        "\n"
        f"**Query commitment:** {'ab' * 32}\n"
        "**Catalog fingerprint:** 9c8e\n"
        "**Decision:** cuo/cpo/prd-author\n"
        "**Confidence:** 0.70\n"
        "**Rationale:** 2 keyword hits\n"
        "**Alternatives:** cuo/cpo/fr-author 0.30, b 0.20\n"
        "**Persona:** CPO\n"
        "**Persona version:** 1\n"
        "**State:** picked\n"
        "**By:** ann\n"
        "**At:** 2025-05-14T05:30:11.000000Z\n"
        "**Request:** 8c4e0000-0000-4000-8000-000000000001\n"
    )


def test_fields_that_say_nothing_are_left_out() -> None:
    assert (
        "**Lifecycle:** failed 2025-05-14T05:30:11.000000Z\n"
        in record(next(each for each in DECISIONS if each.kind == "routing.outcome")).markdown
    )
    assert "**Note:**" not in record(DECISIONS[7]).markdown
    assert "**Subject:** binh\n**Key destroyed:** false\n" in record(DECISIONS[8]).markdown
    assert "**Steps:** buyer b failed GRANT\\_REQUIRED\n" in record(DECISIONS[-1]).markdown
    assert "**Limits:** time\\_ms=10\n**Executors:** WASM\n" in record(DECISIONS[5]).markdown


def test_a_kind_without_a_form_shows_all_its_fields() -> None:
    body = orjson.loads(DECISIONS[0].encode()) | {"kind": "later", "score": [1, {"a": True}]}
    later = AuditRecord(0, canonical(body))
    assert "# Decision\n" in later.markdown
    assert '**score:** \\[1,{"a":true}\\]\n' in later.markdown
    assert later.address == "brain://meta/decisions/1747200611_8c4e.md"


HOSTILE = [
    "\n---\nkind: forged\n---\n# Forged\n",
    "</p><script>alert(1)</script>",
    "<!-- ",
    "**By:** somebody else",
    "\r\n# heading",
    "a\u2028# heading\x0b## more\x85---",
    "[link](https://example.com) ![x](y) <https://example.com> www.example.com",
    "``` \n code",
    "&lt;b&gt; &#35;",
    "\\",
    "\\\\*a*",
    "\u202eturned",
    "a  ",
    "| a | b |",
    "- item\n\n    code",
    "~~gone~~ $x$ [^1] [ ]",
]


def renderer() -> MarkdownIt:
    return MarkdownIt("gfm-like", {"html": True, "linkify": False})


def check(note: str) -> None:
    """The record of a note is one title and one paragraph, in which the note reads as itself."""
    revoked = record(RevokedSkill(**COMMON, note=note))  # type: ignore[arg-type]
    text = revoked.markdown
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    front, closing, rest = text.partition("\n---\n")
    assert front.splitlines()[0] == "---"
    assert len(front.splitlines()) == 5
    assert closing
    tokens = renderer().parse(rest)
    assert [token.type for token in tokens] == [
        "heading_open", "inline", "heading_close", "paragraph_open", "inline", "paragraph_close",
    ]  # fmt: skip
    inline = tokens[4].children or []
    assert {token.type for token in inline} <= {
        "text", "text_special", "strong_open", "strong_close", "softbreak", "hardbreak",
    }  # fmt: skip
    labels = sum(token.type == "strong_open" for token in inline)
    kept = str(revoked.body["note"])
    assert labels == (6 if kept else 5)
    lines = "".join(
        "\n" if token.type in ("softbreak", "hardbreak") else token.content for token in inline
    ).splitlines()
    expected = "".join(c if c.isprintable() else f"\\u{{{ord(c):x}}}" for c in kept)
    if kept:
        # Spaces at the end of a line are no part of a paragraph (CommonMark, section 4.8).
        assert lines[1] == f"Note: {expected}".rstrip()


@pytest.mark.parametrize("note", HOSTILE)
def test_no_note_forges_anything(note: str) -> None:
    check(note)


@given(st.text(alphabet=st.sampled_from("ab \n\r\t#-*_`[]()<>&~|\\!:/.$=+1\u2028\u202e"), max_size=60))
@example("***")
@example("a\\")
def test_no_text_of_markup_forges_anything(note: str) -> None:
    check(note)


@given(st.text(max_size=200))
def test_no_text_at_all_forges_anything(note: str) -> None:
    check(note)


def test_addresses_are_not_made_links_by_renderers_that_do_so() -> None:
    text = record(RevokedSkill(**COMMON, note="see https://example.com or WWW.example.com")).markdown  # type: ignore[arg-type]
    assert "https\\://" in text
    assert "WWW\\." in text


def test_records_are_found_by_their_address(dsn: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db, Ledger(db) as ledger:
            for decision in DECISIONS[:2]:
                await ledger.append(decision)
            later = RevokedSkill(actor="ann", skill="a", content_hash="a", note="", at=NOON)
            await ledger.append(later)
            address = record(DECISIONS[0]).address
            for written in (address, address.removeprefix("brain://")):
                found = await find_record(db, written)
                assert [(each.seq, each.encoded) for each in found] == [
                    (0, DECISIONS[0].encode()),
                    (1, DECISIONS[1].encode()),
                ]
            assert [each.seq for each in await find_record(db, record(later).address)] == [2]
            digits = uuid.UUID(later.entry_id).hex[:4]
            for other in (
                f"meta/decisions/{int(NOON.timestamp()) - 1}_{digits}.md",
                f"meta/decisions/{int(NOON.timestamp())}_{'0000' if digits != '0000' else '0001'}.md",
                f"meta/cuo-decisions/{int(NOON.timestamp())}_{digits}.md",
                "meta/decisions/99999999999_0000.md",
            ):
                assert await find_record(db, other) == []

    run(scenario())


@pytest.mark.parametrize(
    "address",
    [
        "",
        "brain://",
        "meta/decisions/1747200611_8c4e",
        "meta/decisions/1747200611_8c4.md",
        "meta/decisions/1747200611_8C4E.md",
        "meta/decisions/174720061100_8c4e.md",
        "meta/decisions/-1_8c4e.md",
        "meta/decisions/1747200611_%%%%.md",
        "meta/decisions/1747200611_8c4e.md\n",
        "meta/../decisions/1747200611_8c4e.md",
        "https://meta/decisions/1747200611_8c4e.md",
        "meta/decisions/١٧٤٧٢٠٠٦١١_8c4e.md",
    ],
)
def test_what_is_no_address_is_refused(dsn: str, address: str) -> None:
    async def scenario() -> None:
        async with Database(settings_for(dsn)) as db:
            with pytest.raises(InputInvalid, match="an address reads"):
                await find_record(db, address)

    run(scenario())


AT = "2026-11-20T12:00:00.000000Z"
FIELDS = sorted(
    {key for form in FORMS.values() for _, key in form.fields} - {"id", "kind", "level", "actor", "at"}
)
KEYS = ["skillName", "score", "step", "skill", "status", "code", "state", "at"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)


@given(
    kind=st.sampled_from(sorted(FORMS)) | st.text(max_size=5),
    fields=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), JSON, max_size=6),
)
def test_a_record_is_told_whatever_else_its_entry_holds(kind: str, fields: dict[str, object]) -> None:
    body = {**fields, "id": str(uuid.UUID(int=7)), "kind": kind, "level": "info", "actor": "ann", "at": AT}
    record = AuditRecord(0, orjson.dumps(body))
    assert record.is_readable
    assert record.address.startswith("brain://")
    assert record.markdown.startswith("---\n")


def test_what_is_nested_too_deeply_to_be_written_is_told_as_such() -> None:
    deep = b'{"id":"%s","kind":"x","level":"info","actor":"ann","at":"%s","more":%s%s}' % (
        str(uuid.UUID(int=7)).encode(),
        AT.encode(),
        b"[" * 300,
        b"]" * 300,
    )
    record = AuditRecord(0, deep)
    assert record.is_readable
    assert "**more:** (nested too deeply to be shown)" in record.markdown
