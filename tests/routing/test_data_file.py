"""The router's data is read strictly, and what is wrong with it is said with its line."""

from __future__ import annotations

import pytest

from subgraph.routing import RoutingDataInvalid, load_bank
from subgraph.routing.data_file import FILE_LIMIT, load
from subgraph.routing.keyword_bank import KEYWORD_WORDS, KEYWORDS_LIMIT

GOOD = """\
version: 1.10
banks:
  CPO:
    a/b:
    - one
    - two words
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "data.yaml: empty"),
        ("a: [", "data.yaml, line 2: not YAML"),
        ("a: \x00", "data.yaml.*: not YAML"),
        ("a: 1\nb: 2\na: 3\n", "data.yaml, line 3: 'a' stands here twice"),
        ("a: &x 1\nb: *x\n", "data.yaml, line 2: an alias"),
        ("[[[[[[[[[]]]]]]]]]", "data.yaml, line 1: nested too deeply"),
        ("? [a]\n: b\n", "data.yaml, line 1: a key must be text"),
        ("a: 1\n--- 2\n", "data.yaml, line 2: not YAML"),
        ("a" * (FILE_LIMIT + 1), "data.yaml: over"),
    ],
)
def test_what_is_no_data_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(RoutingDataInvalid, match=message):
        load(text, "data.yaml")


def test_a_bank_is_read() -> None:
    bank = load_bank(GOOD, "bank.yaml")
    assert bank.version == "1.10"
    assert bank.skills["a/b"].keywords == ("one", "two words")
    assert bank.skills["a/b"].persona == "CPO"
    assert bank.idioms == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("banks:", "bank:", "line 2: unknown field 'bank'; known are version, banks, idioms"),
        ("version: 1.10\n", "", "line 1: the field 'version' is missing"),
        ("version: 1.10", "version: ''", "line 1: a text is expected here"),
        ("version: 1.10", "version: []", "line 1: a text is expected here"),
        ("    - one\n", "    - []\n", "line 5: a text is expected here"),
        ("    - one\n", "    - '…'\n", "line 5: '…' has neither a letter nor a digit"),
        ("    - one\n", "    - Two-Wórds\n", "line 6: 'two words' folds to the same as 'Two-Wórds'"),
        ("    - one\n", "    - two words\n", "line 6: 'two words' folds to the same"),
        ("    - one\n", f"    - {'a ' * KEYWORD_WORDS} a\n", "line 5: 'a a .* is over 12 words"),
        ("    a/b:\n    - one\n    - two words\n", "    a/b: one\n", "line 4: a list is expected here"),
        ("  CPO:\n", "  CPO: []\n  CTO:\n", "line 3: a mapping is expected here"),
        (GOOD, f"{GOOD}  CTO:\n    a/b: [three]\n", "line 8: 'a/b' stands in two banks"),
        ("banks:", "idioms: [a, A]\nbanks:", "line 2: 'A' folds to the same as 'a'"),
    ],
)
def test_a_fault_of_a_bank_is_said_with_its_line(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(RoutingDataInvalid, match=message):
        load_bank(GOOD.replace(old, new), "bank.yaml")


def test_a_skill_has_a_bounded_number_of_keywords() -> None:
    words = "".join(f"\n    - word{number}" for number in range(KEYWORDS_LIMIT))
    bank = load_bank(f"version: 1\nbanks:\n  CPO:\n    a/b:{words}", "bank.yaml")
    assert len(bank.skills["a/b"].keywords) == KEYWORDS_LIMIT
    with pytest.raises(RoutingDataInvalid, match="line 4: over 500 phrases: 501"):
        load_bank(f"version: 1\nbanks:\n  CPO:\n    a/b:{words}\n    - more", "bank.yaml")
