"""Processors for those who are quick: a process that computes for long gets what is left of them.

Four settings work together, since each alone leaves others waiting for milliseconds (sched(7)):

1. The lowest nice value, so that it gets 1.5 % of a processor that somebody else wants.
2. The longest time slice. Linux 6.12 and newer let whoever wakes up interrupt a process with a longer slice
   at once, and otherwise only when the slice is over.
3. The lowest nice value of its autogroup. Where the kernel groups processes by session, nice values count
   within a session alone; workers therefore begin one of their own.
4. One processor is left out. Even at the lowest priority, computing on all of them makes one call in twenty
   of others wait for the next tick of the clock.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path

from subgraph.execution.confinement.syscalls import call

_LOWEST = 19
_LONGEST_SLICE_NS = 100_000_000


class _SchedulingAttributes(ctypes.Structure):
    """`struct sched_attr` of linux/sched/types.h, as it was at first."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def run_last(pid: int) -> None:
    """Let a process of ours compute only where nobody else wants to; undoing that needs privileges.

    Its first thread is meant, which is the one that runs the skill. Raises `OSError` when it has died.
    """
    attributes = _SchedulingAttributes(
        size=ctypes.sizeof(_SchedulingAttributes),
        policy=os.SCHED_BATCH,
        nice=_LOWEST,
        runtime=_LONGEST_SLICE_NS,
    )
    call("sched_setattr", ctypes.c_int(pid), ctypes.byref(attributes), ctypes.c_uint(0))
    processors = os.sched_getaffinity(pid)
    if len(processors) > 1:
        os.sched_setaffinity(pid, processors - {min(processors)})
    with contextlib.suppress(OSError):  # this kernel has no autogroups, or lets only root change one
        Path(f"/proc/{pid}/autogroup").write_text(str(_LOWEST))
