"""Copies the guest library's Python modules into the skills that carry them: `make share`.

A skill's directory is all that another host has of it, so each carries what its script imports. Tests hold
the copies to the originals.
"""

from __future__ import annotations

import shutil
from pathlib import Path

TOOLCHAIN = Path(__file__).parent
SKILLS = TOOLCHAIN.parent / "skills"
TAX_CODE = SKILLS / "cyberskill-vn" / "vn-mst-validate" / "scripts" / "tax_code.py"


def main() -> None:
    """Replace every copy."""
    originals = {path.name: path for path in [*(TOOLCHAIN / "guest" / "python").glob("*.py"), TAX_CODE]}
    for copy in SKILLS.rglob("scripts/*.py"):
        original = originals.get(copy.name, copy)
        if original != copy and original.read_bytes() != copy.read_bytes():
            shutil.copyfile(original, copy)


if __name__ == "__main__":
    main()
