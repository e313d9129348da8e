"""What is costly to build, once for all tests of this directory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from subgraph.authoring import BuildOptions, Built, Language, build_skill, scaffold


class PythonSkill(NamedTuple):
    """The start of a skill in Python, built: where it lies, what came of it, and the steps that were told."""

    directory: Path
    built: Built
    told: list[str]


@pytest.fixture(scope="session")
def python_skill(tmp_path_factory: pytest.TempPathFactory) -> PythonSkill:
    """A start in Python, built. It takes ten seconds of a processor, and as many again to compile."""
    parent = tmp_path_factory.mktemp("python")
    scaffold(parent, "greet", Language.PYTHON)
    told: list[str] = []
    built = build_skill(parent / "greet", BuildOptions(compiles=False), lambda tool, _what: told.append(tool))
    return PythonSkill(parent / "greet", built, told)
