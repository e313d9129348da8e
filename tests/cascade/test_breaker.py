"""The circuit breaker at its edges, by a clock that the test moves."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from subgraph.cascade.breaker import FAILURES_LIMIT, OPEN_SECONDS, Breaker, Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(FAILURES_LIMIT):
        assert breaker.admit()
        breaker.failed()
    return breaker, clock


def test_it_opens_with_the_last_of_several_failures_in_a_row() -> None:
    breaker = Breaker(Clock())
    for _ in range(FAILURES_LIMIT - 1):
        breaker.failed()
    assert (breaker.circuit, breaker.admit()) == (Circuit.CLOSED, True)
    breaker.failed()
    assert (breaker.circuit, breaker.admit()) == (Circuit.OPEN, False)


def test_an_answer_in_between_begins_the_count_anew() -> None:
    breaker = Breaker(Clock())
    for _ in range(FAILURES_LIMIT - 1):
        breaker.failed()
    breaker.succeeded()
    for _ in range(FAILURES_LIMIT - 1):
        breaker.failed()
    assert breaker.circuit is Circuit.CLOSED


def test_after_its_time_one_may_try_and_no_other() -> None:
    breaker, clock = opened()
    clock.now = math.nextafter(1000.0 + OPEN_SECONDS, 0)
    assert not breaker.admit()
    clock.now = 1000.0 + OPEN_SECONDS
    assert breaker.circuit is Circuit.HALF_OPEN
    assert [breaker.admit() for _ in range(3)] == [True, False, False]


def test_a_trial_that_is_answered_closes_it() -> None:
    breaker, clock = opened()
    clock.now += OPEN_SECONDS
    assert breaker.admit()
    breaker.succeeded()
    assert (breaker.circuit, breaker.admit(), breaker.admit()) == (Circuit.CLOSED, True, True)


def test_a_trial_that_fails_opens_it_for_another_while() -> None:
    breaker, clock = opened()
    clock.now += OPEN_SECONDS
    assert breaker.admit()
    breaker.failed()
    assert (breaker.circuit, breaker.admit()) == (Circuit.OPEN, False)
    clock.now += OPEN_SECONDS
    assert breaker.admit()


def test_a_trial_that_nobody_saw_the_end_of_leaves_the_next_one_to_try() -> None:
    breaker, clock = opened()
    clock.now += OPEN_SECONDS
    assert breaker.admit()
    breaker.abandoned()
    assert [breaker.admit() for _ in range(2)] == [True, False]


def test_those_who_were_admitted_before_do_not_put_the_trial_off() -> None:
    breaker, clock = opened()
    clock.now += OPEN_SECONDS - 1
    breaker.failed()  # admitted before it opened
    clock.now += 1
    assert breaker.admit()


@given(st.lists(st.sampled_from(["ask", "succeed", "fail", "abandon", "wait"])))
def test_it_always_recovers(steps: list[str]) -> None:
    clock = Clock()
    breaker = Breaker(clock)
    under_way = 0
    for step in steps:
        if step == "ask":
            under_way += breaker.admit()
        elif step == "wait":
            clock.now += OPEN_SECONDS
        elif under_way:
            under_way -= 1
            {"succeed": breaker.succeeded, "fail": breaker.failed, "abandon": breaker.abandoned}[step]()
    for _ in range(under_way):
        breaker.abandoned()
    clock.now += OPEN_SECONDS
    assert breaker.admit()
    breaker.succeeded()
    assert breaker.circuit is Circuit.CLOSED
