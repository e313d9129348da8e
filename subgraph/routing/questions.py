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
    """Ask which of the first candidates is meant, by their short names."""
    names = ", ".join(candidate.score.skill.name for candidate in candidates[:ALTERNATIVES_LIMIT])
    return f"Ý bạn là kỹ năng nào: {names}?" if vietnamese else f"Which skill is meant: {names}?"
