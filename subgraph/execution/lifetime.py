"""Processes that must not outlive the one that started them, and that it can spare."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from subgraph.execution.confinement.syscalls import prctl

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, whatever the reason."""
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(1)


def go_first_when_memory_runs_out() -> None:
    """Have the kernel kill this process before any other when memory runs out (proc(5), oom_score_adj)."""
    Path("/proc/self/oom_score_adj").write_text("1000")
