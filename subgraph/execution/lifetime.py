"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import os
import signal

from subgraph.execution.confinement.syscalls import prctl

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, whatever the reason."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)
