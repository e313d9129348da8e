from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.toolchain import ROOT, Guest, build_skill

SKILL = ROOT / "skills" / "cyberskill-vn" / "vn-mst-validate"


@pytest.fixture(scope="session")
def skill_directory() -> Path:
    return SKILL


@pytest.fixture(scope="session")
def script() -> Path:
    return SKILL / "scripts" / "validate_mst.py"


@pytest.fixture(scope="session")
def reference(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("validate_mst", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        # A cache beside the script would be a change of the skill's content.
        patch.setattr(sys, "dont_write_bytecode", True)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def guest() -> Guest:
    return Guest(build_skill(SKILL))
