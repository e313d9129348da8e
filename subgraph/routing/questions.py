"""What a person is asked about a query that no skill was picked for, in the language that it is asked in."""

from __future__ import annotations

from collections.abc import Sequence

from subgraph.routing.decision import Candidate

ALTERNATIVES_LIMIT = 3
"""The candidates that a person is shown."""


def nothing_fits(*, vietnamese: bool) -> str:
    """Ask what somebody wants whom no skill can help as it stands."""
    return (
        "Không có kỹ năng nào phù hợp: bạn muốn làm gì?" if vietnamese else "No skill fits: what is it about?"
    )


def which_skill(candidates: Sequence[Candidate], *, vietnamese: bool) -> str:
    """Ask which of the first candidates is meant, by their short names.

    Named are those that a word of the query speaks for; the region of a skill alone makes nobody think of it.
    """
    spoken = [each.score.skill.name for each in candidates if each.score.named or each.score.keywords]
    if not spoken:
        return nothing_fits(vietnamese=vietnamese)
    return which_of(spoken[:ALTERNATIVES_LIMIT], vietnamese=vietnamese)


def which_of(names: Sequence[str], *, vietnamese: bool) -> str:
    """Ask which of some skills is meant, or whether one is."""
    if len(names) == 1:
        return f"Ý bạn là {names[0]} phải không?" if vietnamese else f"Is {names[0]} meant?"
    listed = ", ".join(names)
    return f"Ý bạn là kỹ năng nào: {listed}?" if vietnamese else f"Which skill is meant: {listed}?"
