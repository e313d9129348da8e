"""The languages that a skill's component can be written in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from subgraph.authoring.errors import AuthoringError


class Language(StrEnum):
    """A language, by the name that `--lang` has for it."""

    TYPESCRIPT = "ts"
    PYTHON = "py"
    ZIG = "zig"
    C = "c"

    @property
    def entry(self) -> str:
        """The file with `run`, below the skill."""
        return _ENTRIES[self]

    @property
    def is_preview(self) -> bool:
        """Whether its components are heavy, and not the same bytes when they are built again."""
        return self is Language.PYTHON


_ENTRIES = {
    Language.TYPESCRIPT: "src/index.ts",
    Language.PYTHON: "src/skill.py",
    Language.ZIG: "src/main.zig",
    Language.C: "src/main.c",
}


def language_of(skill: Path, wanted: Language | None = None) -> Language:
    """Tell by its sources what a skill is written in. Raises `AuthoringError`."""
    if wanted is not None:
        if not (skill / wanted.entry).is_file():
            raise AuthoringError(f"there is no {wanted.entry} in {skill}")
        return wanted
    found = [language for language in Language if (skill / language.entry).is_file()]
    if len(found) == 1:
        return found[0]
    entries = ", ".join(language.entry for language in found or Language)
    if found:
        raise AuthoringError(f"{skill} has {entries}: say by --lang which one to build")
    raise AuthoringError(f"there is nothing to build in {skill}: none of {entries}")
