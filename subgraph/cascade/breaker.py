"""A circuit breaker: who failed several times in a row is left alone for a while, then tried once."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

FAILURES_LIMIT = 5
"""Failures in a row that open the circuit: a gateway that is restarted fails once or twice."""

OPEN_SECONDS = 30.0
"""How long nobody asks then: every query would wait in vain meanwhile."""


class Circuit(Enum):
    """`CLOSED` lets everybody through, `OPEN` nobody, `HALF_OPEN` one, who finds out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Counts how asking ends. Whoever was admitted says `succeeded`, `failed` or `abandoned`, once.

    `clock` gives seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._is_tried = False

    @property
    def circuit(self) -> Circuit:
        """How it stands now."""
        if self._opened_at is None:
            return Circuit.CLOSED
        return Circuit.OPEN if self._clock() - self._opened_at < OPEN_SECONDS else Circuit.HALF_OPEN

    def admit(self) -> bool:
        """Say whether one may ask now."""
        circuit = self.circuit
        if circuit is Circuit.HALF_OPEN and not self._is_tried:
            self._is_tried = True
            return True
        return circuit is Circuit.CLOSED

    def succeeded(self) -> None:
        """Close the circuit: there was an answer."""
        self._failures, self._opened_at, self._is_tried = 0, None, False

    def failed(self) -> None:
        """Count a failure; the last of several, or that of a trial, opens the circuit from now on."""
        self._failures += 1
        # Those who were admitted before it opened fail later: they do not put the trial off.
        if self._is_tried or (self._opened_at is None and self._failures >= FAILURES_LIMIT):
            self._opened_at, self._is_tried = self._clock(), False

    def abandoned(self) -> None:
        """Say that nobody knows how it would have ended: the next one may try."""
        self._is_tried = False
