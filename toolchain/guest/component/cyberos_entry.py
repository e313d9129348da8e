"""What a component written in Python exports: `run` of the skill's `skill.py`; its errors are messages."""

from __future__ import annotations

import skill
import wit_world
from componentize_py_types import Err


class WitWorld(wit_world.WitWorld):
    """The world of `schema/skill.wit`."""

    def run(self, input: str) -> str:  # noqa: A002 - the name of the contract
        """Answer one call; whatever the skill does becomes an answer or a message, and no trap."""
        try:
            answer = skill.run(input)
        except Exception as error:  # noqa: BLE001
            raise Err(str(error) or f"skill_failed: {type(error).__name__}") from None
        if not isinstance(answer, str):
            raise Err(f"skill_failed: run returned {type(answer).__name__} where text is due")
        return answer
