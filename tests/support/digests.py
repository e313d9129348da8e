"""Records which bytes the components of the shipped skills are: `make digests`.

They are not in version control. Whoever builds them gets the same ones, which a test holds to this record.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.support.parity import SKILLS, executable_skills
from tests.support.toolchain import build_skill

RECORD = SKILLS / "digests.json"


def digest_of(component: Path) -> str:
    """The SHA-256 of a component."""
    return f"sha256:{hashlib.sha256(component.read_bytes()).hexdigest()}"


def recorded() -> dict[str, str]:
    """The digests on record, by the path of the skill."""
    found: dict[str, str] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Build every skill, and record what came of it."""
    digests = {
        skill.relative_to(SKILLS).as_posix(): digest_of(build_skill(skill, always=True))
        for skill in executable_skills()
    }
    RECORD.write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
