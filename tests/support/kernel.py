"""What tests need that nobody can install: a kernel that confines, or root. Without it they are skipped.

`tests/security/test_confinement.py` asks the kernel itself, so that a fault of the service in asking it has
nothing skipped in silence.
"""

from __future__ import annotations

import os

import pytest

from subgraph.execution.confinement import directories_grantable, landlock_available

needs_landlock = pytest.mark.skipif(
    not landlock_available(), reason="needs a kernel with Landlock among its security modules (Linux 5.13)"
)

needs_script_confinement = pytest.mark.skipif(
    not directories_grantable(), reason="needs a kernel whose Landlock can grant directories (Linux 6.2)"
)


def needs_root(what: str) -> pytest.MarkDecorator:
    """Skip where the tests do not run as root, and only root can do this."""
    return pytest.mark.skipif(os.geteuid() != 0, reason=f"needs root: only root {what}")
