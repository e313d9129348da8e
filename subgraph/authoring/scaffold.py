"""A new skill to start from: valid, buildable, and with cases that pass."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from subgraph.authoring.errors import AuthoringError
from subgraph.authoring.languages import Language
from subgraph.catalog.manifest import name_faults
from subgraph.settings import bundled

STARTS = (Language.TYPESCRIPT, Language.PYTHON, Language.ZIG)

_NAME = "skill-name"
"""What stands for the name in the templates."""


def scaffold(parent: Path, name: str, language: Language) -> list[Path]:
    """Make the directory `name` below `parent`; return the files, relative to it.

    Raises `AuthoringError` for a name that no skill can have, and when there is something already.
    """
    faults = name_faults(name)
    if faults:
        raise AuthoringError(f"{name!r} is no name of a skill: {'; '.join(faults)}")
    skill = parent / name
    templates = bundled("toolchain") / "templates"
    if language not in STARTS:
        raise AuthoringError(f"there is no start for {language}: take one of {', '.join(STARTS)}")
    temporary = parent / f".{name}.{os.getpid()}"
    if skill.exists() or skill.is_symlink():
        raise AuthoringError(f"{skill} is there already")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for source in (templates / "common", templates / language.value):
            shutil.copytree(source, temporary, dirs_exist_ok=True)
        manifest = temporary / "SKILL.md"
        manifest.write_text(manifest.read_text(encoding="utf-8").replace(_NAME, name), encoding="utf-8")
        temporary.rename(skill)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise AuthoringError(f"{skill} cannot be made: {error.strerror}") from error
    return sorted(path.relative_to(skill) for path in skill.rglob("*") if path.is_file())
