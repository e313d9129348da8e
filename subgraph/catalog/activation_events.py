"""Activation events: what a skill asks to be activated by, in the manner of VS Code.

They stand in `metadata.cyberos-activation-events`, separated by spaces or commas.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

ANY = "*"
"""A skill with this event is activated by every event."""

ON_STARTUP = "onStartup"
ON_SKILL = "onSkill:"

EVENTS_LIMIT = 32
"""Bound of the events of one skill; extensions of VS Code rarely have ten."""

EVENT_LENGTH = 200
"""Bound of one event, in characters: a path of the catalogue and its prefix fit in."""

_SEPARATOR = re.compile(r"[\s,]+")
_EVENT = re.compile(
    r"\*"
    r"|onStartup"
    r"|onSkill:(?:\./)?[a-z0-9._-]+(?:/[a-z0-9._-]+)*"
    r"|onCommand:[A-Za-z0-9_.:/-]+"
    r"|onKeyword:[^\s,]+"
)


@functools.lru_cache(maxsize=4096)
def parse_events(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split a text into the events that are well formed and the words that are not, each once.

    A keyword is folded in its case. Events beyond `EVENTS_LIMIT` count as words that are not well formed.
    """
    good: dict[str, None] = {}
    bad: dict[str, None] = {}
    for word in _SEPARATOR.split(text):
        if not word:
            continue
        event = normalised(word)
        if event is None or (len(good) >= EVENTS_LIMIT and event not in good):
            bad[word[:EVENT_LENGTH]] = None
        else:
            good[event] = None
    return tuple(good), tuple(bad)


def normalised(word: str) -> str | None:
    """Write one event in the form in which it is compared; None when it is not well formed."""
    if len(word) > EVENT_LENGTH or not _EVENT.fullmatch(word):
        return None
    kind, colon, argument = word.partition(":")
    if kind == "onKeyword":
        return f"{kind}{colon}{argument.casefold()}"
    return f"{kind}{colon}{argument.removeprefix('./')}" if colon else word


def names_of(event: str) -> Iterable[str]:
    """Return what a skill may have written to be activated by `event`, which is well formed.

    A skill that was invoked is meant by its path and by its short name.
    """
    yield ANY
    if event != ANY:
        yield event
    if event.startswith(ON_SKILL) and "/" in event:
        yield ON_SKILL + event.rpartition("/")[2]
