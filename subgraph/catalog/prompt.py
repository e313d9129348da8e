"""Skills in an agent's prompt: the list of all, and the instructions of one (agentskills.io, integration).

What a skill says is text of its author, who may not be the reader's friend. It is escaped as XML, so that no
skill can end its section and speak as somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from subgraph.catalog.activated_skill import ActivatedSkill
from subgraph.catalog.header import SkillHeader
from subgraph.catalog.problem import MANIFEST_NAME
from subgraph.catalog.showing import shown


def available_skills(headers: Iterable[SkillHeader]) -> str:
    """List skills as `<available_skills>`: name, description and where the instructions lie, of each."""
    return "\n".join(["<available_skills>", *map(_listed, headers), "</available_skills>"])


def _listed(header: SkillHeader) -> str:
    return (
        "  <skill>\n"
        f"    <name>{_text(header.name)}</name>\n"
        f"    <description>{_text(header.description)}</description>\n"
        f"    <location>{_text(f'{header.path}/{MANIFEST_NAME}')}</location>\n"
        "  </skill>"
    )


def skill_prompt(skill: ActivatedSkill) -> str:
    """Return the instructions of a skill as `<skill name="…" content-hash="…">`, for an agent to follow."""
    attributes = f"name={quoteattr(shown(skill.header.path))} content-hash={quoteattr(skill.content_hash)}"
    return f"<skill {attributes}>\n{_text(skill.body.strip())}\n</skill>"


def _text(text: str) -> str:
    return escape(shown(text))
