"""The front matter of SKILL.md: every rule, and every way that real files break them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.catalog.front_matter import EVENTS_LIMIT, FRONT_MATTER_LIMIT, HEAD_BYTES, split
from subgraph.catalog.manifest import (
    DESCRIPTION_BOUND,
    EXTENSIONS_BOUND,
    METADATA_LIMIT,
    TEXT_BOUND,
    TOOLS_BOUND,
    WARNINGS_LIMIT,
    SkillManifest,
    parse_front_matter,
    parse_manifest,
)
from subgraph.errors import SourceInvalid

MINIMAL = b"---\nname: a-skill\ndescription: Does it.\n---\n"


def warned(*lines: str, name: str = "a-skill", description: str = "Does it.") -> list[str]:
    """The warnings about a manifest, as text."""
    return list(map(str, manifest(*lines, name=name, description=description).warnings))


def manifest(*lines: str, name: str = "a-skill", description: str = "Does it.") -> SkillManifest:
    text = "\n".join(["---", f"name: {name}", f"description: {description}", *lines, "---", ""])
    return parse_manifest(text.encode())[0]


def test_all_fields_are_read() -> None:
    document = (
        "---\nname: vn-mst-validate\ndescription: Checks tax codes.\nlicense: MIT\n"
        "compatibility: Needs nothing\nallowed-tools: read_file fetch_url(https://*.vn/*)\n"
        "metadata:\n  version: 1.10\n  region: VN\n---\n# Title\n\nTiếng Việt\n"
    )
    parsed, body = parse_manifest(document.encode())
    assert parsed == SkillManifest(
        name="vn-mst-validate",
        description="Checks tax codes.",
        license="MIT",
        compatibility="Needs nothing",
        allowed_tools="read_file fetch_url(https://*.vn/*)",
        metadata={"version": "1.10", "region": "VN"},
    )
    assert body == "# Title\n\nTiếng Việt\n"


def test_what_is_optional_may_be_absent_or_empty() -> None:
    for parsed in (manifest(), manifest("license:", "compatibility: ''", "allowed-tools:", "metadata:")):
        assert (parsed.license, parsed.compatibility, parsed.allowed_tools) == (None, None, "")
        assert parsed.metadata == {}


@pytest.mark.parametrize("name", ["a", "a1", "1-a", "a" * 64, "a-b-c"])
def test_name_is_accepted(name: str) -> None:
    assert manifest(name=name).name == name


@pytest.mark.parametrize(
    "name", ["A", "a_b", "-a", "a-", "a--b", "a b", "a" * 65, "../a", "É", "a.b", "[a]", "{a: b}", "''", "ǅ"]
)
def test_a_name_that_is_none_is_a_warning_with_its_line(name: str) -> None:
    assert manifest(name=name).name is None
    (warning,) = warned(name=name)
    assert warning.startswith("line 2: name: ")


def test_a_name_that_differs_from_the_directory_is_a_warning() -> None:
    parsed, _ = parse_manifest(MINIMAL, "other")
    assert list(map(str, parsed.warnings)) == [
        "line 2: name: 'a-skill' differs from the directory, whose name holds"
    ]
    assert parse_manifest(MINIMAL, "a-skill")[0].warnings == ()


def test_description_has_a_limit_in_characters() -> None:
    assert len(manifest(description="đ" * 1024).description) == 1024
    assert warned(description="đ" * 1024) == []
    assert warned(description="đ" * 1025) == ["line 3: description: over 1024 characters: it has 1025"]
    assert len(manifest(description="đ" * DESCRIPTION_BOUND).description) == DESCRIPTION_BOUND
    assert len(manifest(description="đ" * (DESCRIPTION_BOUND + 1)).description) == DESCRIPTION_BOUND


def test_a_missing_description_is_an_error_and_a_missing_name_a_warning() -> None:
    with pytest.raises(SourceInvalid, match=r"SKILL\.md: description: missing or empty"):
        parse_manifest(b"---\nname: a-skill\n---\n")
    parsed, _ = parse_manifest(b"---\ndescription: d\n---\n")
    assert list(map(str, parsed.warnings)) == ["name: missing or empty; the directory's name holds"]


@pytest.mark.parametrize("description", ["", "' '", "~~", "|\n  a\n  b"])
def test_description_is_trimmed_text_or_missing(description: str) -> None:
    if description.strip(" '"):
        assert manifest(description=description).description
    else:
        with pytest.raises(SourceInvalid, match="description: missing or empty"):
            manifest(description=description)


@pytest.mark.parametrize("value", ["[a]", "{a: b}"])
def test_a_text_field_that_is_no_text_is_passed_over_unless_it_is_the_description(value: str) -> None:
    parsed = manifest(f"license: {value}", f"compatibility: {value}")
    assert (parsed.license, parsed.compatibility) == (None, None)
    assert list(map(str, parsed.warnings)) == [
        "line 4: license: must be text; it is passed over",
        "line 5: compatibility: must be text; it is passed over",
    ]
    with pytest.raises(SourceInvalid, match="line 3: description: must be text"):
        manifest(description=value)


def test_texts_have_bounds() -> None:
    assert manifest(f"license: {'x' * TEXT_BOUND}").license == "x" * TEXT_BOUND
    assert manifest(f"license: {'x' * (TEXT_BOUND + 1)}").license is None
    assert warned(f"compatibility: {'x' * 500}") == []
    assert warned(f"compatibility: {'x' * 501}") == ["line 4: compatibility: over 500 characters"]
    assert manifest(f"allowed-tools: {'x' * TOOLS_BOUND}").allowed_tools == "x" * TOOLS_BOUND
    assert manifest(f"allowed-tools: {'x' * (TOOLS_BOUND + 1)}").allowed_tools == ""


def test_metadata_has_bounds() -> None:
    keys = [f"  k{number}: v" for number in range(METADATA_LIMIT + 1)]
    assert warned("metadata:", *keys[:METADATA_LIMIT]) == []
    assert len(manifest("metadata:", *keys).metadata) == METADATA_LIMIT
    assert manifest("metadata:", f"  {'k' * 64}: v").metadata == {"k" * 64: "v"}
    assert manifest("metadata:", f"  {'k' * 65}: v").metadata == {}
    half = "x" * (EXTENSIONS_BOUND // 2 - len("cyberos-a"))
    fits = ["metadata:", f"  cyberos-a: {half}", f"  cyberos-b: {half}"]
    assert len(manifest(*fits).metadata) == 2
    assert manifest(*fits, "  cyberos-c: x").metadata == manifest(*fits).metadata


def test_warnings_have_a_limit() -> None:
    lines = [f"unknown-{number}: x" for number in range(WARNINGS_LIMIT + 1)]
    assert len(warned(*lines[:-1])) == len(warned(*lines)) == WARNINGS_LIMIT


def test_control_characters_of_an_escape_do_not_get_in() -> None:
    parsed = manifest('license: "M\\0I\\eT\\x7f"', 'allowed-tools: "read_file\\0"', description='"a\\x1bb"')
    assert (parsed.license, parsed.allowed_tools, parsed.description) == ("MIT", "", "ab")
    assert len(parsed.warnings) == 3


def test_a_colon_that_is_not_quoted_is_forgiven() -> None:
    parsed = manifest(description='Use when: a "user" asks')
    assert parsed.description == 'Use when: a "user" asks'
    assert list(map(str, parsed.warnings)) == ["a value that holds a colon must be quoted"]


def test_a_key_that_comes_twice_is_refused_with_its_line() -> None:
    with pytest.raises(SourceInvalid, match="line 4: name: the front matter has this key twice"):
        manifest("name: other")
    with pytest.raises(SourceInvalid, match="line 6: a: the front matter has this key twice"):
        manifest("metadata:", "  a: b", "  a: c")


def test_activation_events_may_be_a_list_and_malformed_ones_are_named() -> None:
    lines = ("metadata:", "  cyberos-activation-events: [onStartup, nonsense]")
    assert manifest(*lines).metadata == {"cyberos-activation-events": "onStartup nonsense"}
    assert warned(*lines) == ["line 5: metadata.cyberos-activation-events: 'nonsense' is no activation event"]


def test_byte_order_mark_and_windows_line_ends_are_read() -> None:
    parsed, body = parse_manifest(b"\xef\xbb\xbf" + (MINIMAL + b"one\ntwo\n").replace(b"\n", b"\r\n"))
    assert (parsed.name, parsed.description) == ("a-skill", "Does it.")
    assert body == "one\r\ntwo\r\n"


def test_three_dashes_inside_a_line_are_no_fence() -> None:
    assert manifest(description="a --- b").description == "a --- b"
    assert manifest("license: x---").license == "x---"


def test_body_keeps_later_fences() -> None:
    assert parse_manifest(MINIMAL + b"above\n---\nbelow\n")[1] == "above\n---\nbelow\n"


def test_trailing_space_after_a_fence_is_forgiven() -> None:
    assert parse_manifest(MINIMAL.replace(b"---\n", b"--- \t\n"))[0].name == "a-skill"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "must start with a line ---"),
        (b"# A heading\n", "must start with a line ---"),
        (b"\n" + MINIMAL, "must start with a line ---"),
        (b"----\nname: a\n----\n", "must start with a line ---"),
        (b"---\nname: a-skill\ndescription: d\n", "no closing line ---"),
        (b"---", "no closing line ---"),
        (b"---\n---\n", "line 2: the front matter is not a mapping"),
        (b"---\n- a\n- b\n---\n", "not a mapping"),
        (b"---\njust text\n---\n", "not a mapping"),
        (b"---\nname: a-skill\ndescription: 'use': it\n---\n", "line 3: the front matter is not YAML"),
        (b"---\na: b\n--- {c: d}\n---\n", "line 3: the front matter is more than one document"),
        (b"---\nname: a-skill\n\tdescription: d\n---\n", "line 3: the front matter is not YAML"),
        (b"---\nname: \x00\n---\n", "is not YAML"),
        (b"---\nname: \xff\xfe\n---\n", "the front matter is not UTF-8"),
        (MINIMAL + b"\xff", "the body is not UTF-8"),
        (b"---\n? [a, b]\n: c\n---\n", "is not YAML"),
        (b"---\na: &a [*a]\n---\n", "is not YAML"),
        (b"---\na: *nothing\n---\n", "is not YAML"),
    ],
)
def test_document_is_refused_with_the_reason(document: bytes, message: str) -> None:
    with pytest.raises(SourceInvalid, match=message):
        parse_manifest(document)


def test_flow_mapping_is_read() -> None:
    parsed, _ = parse_manifest(
        b'---\n{"name": "a-skill", "description": "Does it.", metadata: {a: 1}}\n---\n'
    )
    assert (parsed.name, parsed.metadata) == ("a-skill", {"a": "1"})


def test_tools_may_be_a_list_as_many_skills_have_it() -> None:
    assert manifest("allowed-tools: [read_file, 'Bash(git diff:*)']").allowed_tools == (
        "read_file Bash(git diff:*)"
    )
    assert manifest("allowed-tools:", "  - read_file", "  - exec_command").allowed_tools == (
        "read_file exec_command"
    )
    assert warned("allowed-tools: [a]") == [
        "line 4: allowed-tools: a list; the standard has one text, separated by spaces"
    ]
    for value in ("{a: b}", "[[a]]"):
        assert manifest(f"allowed-tools: {value}").allowed_tools == ""
        assert warned(f"allowed-tools: {value}") == [
            "line 4: allowed-tools: must be text; nothing is declared"
        ]


def test_metadata_keeps_text_as_it_is_written_and_passes_over_the_rest() -> None:
    lines = ("metadata:", "  version: 1.10", "  on: yes", "  none: null", "  tags: [a]", "  more: {a: b}")
    assert manifest(*lines).metadata == {"version": "1.10", "on": "yes", "none": "null"}
    assert warned(*lines) == [
        "line 8: metadata.tags: must be text; it is passed over",
        "line 9: metadata.more: must be text; it is passed over",
    ]
    assert manifest("metadata: text").metadata == {}
    assert warned("metadata: text") == ["line 4: metadata: must be a mapping; it is passed over"]


def test_fields_of_other_hosts_are_passed_over() -> None:
    parsed = manifest("version: 3", "author: [a]", "triggers: {on: push}", "requires: ~")
    assert parsed == manifest()
    assert list(map(str, parsed.warnings)) == [
        f"line {line}: {name}: not a field of the standard; it is passed over"
        for line, name in enumerate(("version", "author", "triggers", "requires"), start=4)
    ]


@pytest.mark.parametrize(
    "line",
    [
        "license: !!python/object/apply:os.system ['echo pwned']",
        "license: !!python/name:os.system",
        "license: !local {a: b}",
    ],
)
def test_tags_construct_nothing(line: str) -> None:
    try:
        parsed = manifest(line)
    except SourceInvalid:
        return
    assert parsed.license in (None, "")


def test_aliases_do_not_multiply() -> None:
    lines = ["metadata:", "  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 60)]
    assert manifest(*lines).metadata == {}


@pytest.mark.parametrize(
    "nested", ["[" * 60_000, "[" * 3000 + "]" * 3000, "- " * 30_000, "? " * 20_000, "{a: " * 15_000]
)
def test_deep_nesting_is_refused(nested: str) -> None:
    with pytest.raises(SourceInvalid):
        parse_manifest(f"---\n{nested}\n---\n".encode())


def test_front_matter_has_a_limit() -> None:
    comment = b"#" + b"x" * 98 + b"\n"
    fits = MINIMAL.replace(b"---\nname", b"---\n" + comment * 600 + b"name")
    assert parse_manifest(fits)[0].name == "a-skill"
    for document in (
        MINIMAL.replace(b"---\nname", b"---\n" + comment * 1024 + b"name"),
        b"---\n" + b"x" * (FRONT_MATTER_LIMIT + 1) + b"\n---\n",
    ):
        with pytest.raises(SourceInvalid, match="the front matter is over 65536 bytes"):
            parse_manifest(document)


def test_front_matter_has_a_limit_in_parts() -> None:
    fits = (EVENTS_LIMIT - 13) // 2  # a key and a value each
    keys = [f"  k{number}: v" for number in range(fits + 1)]
    assert manifest("metadata:", *keys[:-1]).name == "a-skill"
    with pytest.raises(SourceInvalid, match="too many parts"):
        manifest("metadata:", *keys, "  k: v")


def test_head_may_end_in_the_middle_of_a_character() -> None:
    document = MINIMAL + "ế".encode() * HEAD_BYTES
    for end in range(HEAD_BYTES - 3, HEAD_BYTES + 1):
        assert parse_front_matter(split(document[:end])[0]) == parse_manifest(document)[0]


def test_head_holds_the_largest_front_matter() -> None:
    space = FRONT_MATTER_LIMIT - len(MINIMAL) + len(b"---\n---\n") - 2
    largest = b"\xef\xbb\xbf" + MINIMAL.replace(b"---\nname", b"---\n#" + b"x" * space + b"\nname") + b"body"
    assert parse_front_matter(split(largest[:HEAD_BYTES])[0]) == parse_manifest(largest)[0]


FRAGMENTS = st.sampled_from(
    [
        b"---", b"\n", b"\r\n", b"name: a-skill", b"description: d", b"metadata:", b"  a: ",
        b"allowed-tools: ", b"- ", b"? ", b": ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!python/name:os ",
        b"|", b">", b'"', b"'", b"\\x", b"%YAML 1.2", b"\xff", b"\x00", b"\t", b"#", b"...",
        "ế".encode(), b"license: ",
    ]
)  # fmt: skip


@settings(max_examples=600)
@given(st.one_of(st.binary(max_size=300), st.lists(FRAGMENTS, max_size=40).map(b"".join)))
def test_any_bytes_are_a_skill_or_refused(data: bytes) -> None:
    for document in (data, b"---\n" + data + b"\n---\n", b"---\nname: a-skill\ndescription: d\n" + data):
        with contextlib.suppress(SourceInvalid):
            parsed, _ = parse_manifest(document)
            assert parsed.name is None or 1 <= len(parsed.name) <= 64
            assert 1 <= len(parsed.description) <= DESCRIPTION_BOUND
