"""What a skill may ask to be activated by, and what it is then activated by."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.catalog import InstallSource, SkillRoot
from subgraph.catalog.activation_events import EVENT_LENGTH, EVENTS_LIMIT, names_of, normalised, parse_events
from subgraph.catalog.registry import Registry
from tests.support.skills import write_skill


@pytest.mark.parametrize(
    ("word", "event"),
    [
        ("*", "*"),
        ("onStartup", "onStartup"),
        ("onSkill:cuo/cpo/prd-author", "onSkill:cuo/cpo/prd-author"),
        ("onSkill:./one", "onSkill:one"),
        ("onCommand:cyberos.run:all", "onCommand:cyberos.run:all"),
        ("onKeyword:Thuế", "onKeyword:thuế"),
        ("onKeyword:STRASSE:ẞ", "onKeyword:strasse:ss"),
    ],
)
def test_an_event_is_compared_in_one_form(word: str, event: str) -> None:
    assert normalised(word) == event
    assert normalised(event) == event


@pytest.mark.parametrize(
    "word",
    ["", "onstartup", "onStartup:", "onSkill:", "onSkill:/a", "onSkill:a//b", "onSkill:A",
     "onCommand:", "onCommand:a b", "onKeyword:", "onKeyword:a,b", "**",
     "on:x", "onKeyword:" + "x" * EVENT_LENGTH, "onStartup\n"],
)  # fmt: skip
def test_what_is_no_event_has_no_form(word: str) -> None:
    assert normalised(word) is None


def test_events_are_separated_by_spaces_or_commas_and_come_once() -> None:
    text = " onStartup,onKeyword:A onKeyword:a,\tnonsense nonsense\nonSkill:x,"
    assert parse_events(text) == (("onStartup", "onKeyword:a", "onSkill:x"), ("nonsense",))
    assert parse_events("") == ((), ())


def test_events_have_a_limit() -> None:
    words = [f"onKeyword:{number}" for number in range(EVENTS_LIMIT + 1)]
    good, bad = parse_events(" ".join([*words, words[0]]))
    assert good == tuple(words[:-1])
    assert bad == (words[-1],)


@given(st.text())
def test_every_event_that_is_kept_is_in_its_form(text: str) -> None:
    good, bad = parse_events(text)
    assert [normalised(event) for event in good] == list(good)
    assert all(len(word) <= EVENT_LENGTH for word in bad)


@pytest.mark.parametrize(
    ("event", "names"),
    [
        ("*", ["*"]),
        ("onStartup", ["*", "onStartup"]),
        ("onSkill:a/b", ["*", "onSkill:a/b", "onSkill:b"]),
        ("onSkill:b", ["*", "onSkill:b"]),
        ("onCommand:a/b", ["*", "onCommand:a/b"]),
    ],
)
def test_a_skill_is_meant_by_its_path_and_its_short_name(event: str, names: list[str]) -> None:
    assert list(names_of(event)) == names


def test_skills_are_found_by_what_they_ask_for(tmp_path: Path) -> None:
    for name, events in {
        "any": "'*'",
        "start": "onStartup",
        "tax": "onKeyword:THUẾ onSkill:one",
        "list": "[onStartup, 'onCommand:go']",
        "none": "nonsense",
    }.items():
        write_skill(tmp_path, name, fields=f"metadata:\n  cyberos-activation-events: {events}")
    write_skill(tmp_path, "silent")
    registry = Registry([SkillRoot(tmp_path, InstallSource.LOCAL, trusted=True)])
    registry.scan()

    def found(event: str) -> list[str]:
        return [header.path for header in registry.activated_by(event)]

    assert found("onStartup") == ["any", "list", "start"]
    assert found("onKeyword:thuế") == ["any", "tax"]
    assert found("onSkill:group/one") == ["any", "tax"]
    assert found("onCommand:go") == ["any", "list"]
    assert found("onCommand:other") == ["any"]
    assert found("nonsense") == found("") == []
    registry.put(registry.get("start"))
    write_skill(tmp_path, "start", fields="metadata:\n  cyberos-activation-events: onCommand:go")
    registry.scan()
    assert found("onStartup") == ["any", "list"]
    assert found("onCommand:go") == ["any", "list", "start"]
