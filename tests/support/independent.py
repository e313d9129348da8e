"""Go's own implementation of signed notes, proofs and tiles, asked as a program."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.golang import build
from tests.support.toolchain import ROOT

PROGRAM = ROOT / "tests" / "audit" / "independent" / "main.go"
SECONDS = 60

Question: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]
Ask: TypeAlias = Callable[[Sequence[Question]], list[Answer]]


def independent(directory: Path) -> Ask:
    """Build the program in a directory; what asks it questions, whose bytes become base64."""
    program = directory / "independent"
    build(PROGRAM, program)

    def answers(questions: Sequence[Question]) -> list[Answer]:
        lines = "".join(f"{json.dumps(question, default=_text)}\n" for question in questions)
        outcome = subprocess.run(
            [program], input=lines, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert outcome.returncode == 0, outcome.stderr
        given = [json.loads(line) for line in outcome.stdout.splitlines()]
        assert len(given) == len(questions)
        return given

    return answers


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
