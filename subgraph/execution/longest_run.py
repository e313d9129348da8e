"""How long a run may take from the entry that it starts to the one that says how it ended."""

from __future__ import annotations

from datetime import timedelta

from subgraph.audit.ledger import WAIT_SECONDS
from subgraph.execution.limits import GRACE_MS
from subgraph.execution.turns import QUEUE_WAIT_SECONDS
from subgraph.execution.worker_process import START_SECONDS
from subgraph.execution.zygote_process import ANSWER_SECONDS
from subgraph.settings import LONGEST_TIME_MS

_PARTS = (
    WAIT_SECONDS,  # for the entry that it starts
    QUEUE_WAIT_SECONDS,  # for its turn
    ANSWER_SECONDS + START_SECONDS,  # for a process
    (LONGEST_TIME_MS + GRACE_MS) / 1000,  # of the skill, and until it is killed
    WAIT_SECONDS,  # for the last of its host calls
    WAIT_SECONDS,  # for the entry that it ended
)

LONGEST_RUN = timedelta(seconds=2 * sum(_PARTS))
"""Some 22 minutes: twice what all bounds together allow. The rest is for what has none in seconds: a machine
that stands still, and pages of host calls, of which a run may make a million. It is within the hour for which
the database remembers when entries came (sql/0009)."""
