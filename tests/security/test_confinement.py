from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from subgraph.execution.confinement import (
    ConfinementError,
    attempts,
    confine_files,
    confine_system_calls,
    filter_system_calls,
    landlock,
    landlock_available,
    seccomp,
)
from subgraph.execution.confinement.attempts import ATTEMPTS
from tests.security.acts import ACTS, DONE, EXECUTABLE_MEMORY, SPECIAL
from tests.security.probe import BOTH, LANDLOCK, SECCOMP, outcomes
from tests.support.kernel import needs_landlock

BY_LANDLOCK = {
    "open a file",
    "write a file",
    "execute a program",
    "connect by TCP",
    "listen on TCP",
    "trace a process",
    "signal a process",
}

EVERYTHING = [*ATTEMPTS, *ACTS, *SPECIAL]

DENIED = {"EPERM", "EACCES"}
UNKNOWN_TO_THE_C_LIBRARY = {"clone by clone3": "ENOSYS"}  # so that it falls back to clone

# What an unprivileged user is denied on many systems, and everybody in some containers; where that is
# so, a denial shows nothing about the layers.
MAY_BE_REFUSED_BY_THE_SYSTEM = {
    "trace a process",
    "load BPF",
    "use io_uring",
    "change capabilities",
    "change root",
    "clone a user namespace",
    "compare with the parent",
    "count events",
    "enter a namespace",
    "handle page faults",
    "leave the network namespace",
    "leave the user namespace",
    "load a module",
    "make a hard link",
    "make a packet socket",
    "make a raw socket",
    "mount",
    "read the parent's environment",
    "read the parent's memory",
    "steal a descriptor",
    "use the keyring",
    "add a key",
    "write the parent's memory",
}

Outcomes = dict[str, str]


Probes = dict[str, Future[Outcomes]]


@pytest.fixture(scope="module")
def probes() -> Iterator[Probes]:
    """One process for each choice of layers. None knows of another, and two are at work at a time."""
    layers = BOTH if landlock_available() else [SECCOMP]
    with ThreadPoolExecutor(2) as threads:
        yield {
            "unconfined": threads.submit(outcomes, EVERYTHING, []),
            "landlock": threads.submit(outcomes, ATTEMPTS if landlock_available() else [], [LANDLOCK]),
            "seccomp": threads.submit(outcomes, EVERYTHING, [SECCOMP]),
            "both": threads.submit(outcomes, EVERYTHING, layers),
            "compiler": threads.submit(outcomes, EVERYTHING, layers, executable_memory=True),
        }


@pytest.fixture(scope="module")
def unconfined(probes: Probes) -> Outcomes:
    return probes["unconfined"].result()


@pytest.fixture(scope="module")
def by_landlock(probes: Probes) -> Outcomes:
    return probes["landlock"].result()


@pytest.fixture(scope="module")
def by_seccomp(probes: Probes) -> Outcomes:
    return probes["seccomp"].result()


@pytest.fixture(scope="module")
def by_both(probes: Probes) -> Outcomes:
    return probes["both"].result()


@pytest.fixture(scope="module")
def by_the_compilers_layers(probes: Probes) -> Outcomes:
    return probes["compiler"].result()


def test_the_kernel_is_asked_what_its_landlock_can() -> None:
    """By the C library here: the marks of `tests.support.kernel` believe the service."""
    create_ruleset, ask_version = 444, 1
    libc = ctypes.CDLL(None)
    assert landlock.abi_version() == max(
        0, libc.syscall(create_ruleset, None, ctypes.c_size_t(0), ask_version)
    )


def skip_what_the_system_refuses(act: str, unconfined: Outcomes) -> None:
    if unconfined[act] in DENIED and act in MAY_BE_REFUSED_BY_THE_SYSTEM and os.geteuid() != 0:
        pytest.skip("this system denies it to everybody")


@pytest.mark.parametrize("act", [*ATTEMPTS, *ACTS])
def test_without_a_layer_nothing_is_denied(act: str, unconfined: Outcomes) -> None:
    skip_what_the_system_refuses(act, unconfined)
    assert unconfined[act] not in DENIED
    if act in ATTEMPTS:
        assert unconfined[act] == DONE


@needs_landlock
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_landlock_alone_denies_what_it_can_mediate(
    attempt: str, unconfined: Outcomes, by_landlock: Outcomes
) -> None:
    skip_what_the_system_refuses(attempt, unconfined)
    assert (by_landlock[attempt] != DONE) == (attempt in BY_LANDLOCK)


@pytest.mark.parametrize("act", [*ATTEMPTS, *ACTS])
def test_seccomp_alone_denies_it(act: str, by_seccomp: Outcomes) -> None:
    assert by_seccomp[act] in DENIED | {UNKNOWN_TO_THE_C_LIBRARY.get(act)}


@pytest.mark.parametrize("act", [*ATTEMPTS, *ACTS])
def test_both_layers_deny_it(act: str, by_both: Outcomes) -> None:
    assert by_both[act] in DENIED | {UNKNOWN_TO_THE_C_LIBRARY.get(act)}


@pytest.mark.parametrize("act", [*ATTEMPTS, *ACTS])
def test_a_compiler_may_make_memory_executable_and_nothing_else(
    act: str, by_the_compilers_layers: Outcomes
) -> None:
    if act in EXECUTABLE_MEMORY:
        assert by_the_compilers_layers[act] == DONE
    else:
        assert by_the_compilers_layers[act] in DENIED | {UNKNOWN_TO_THE_C_LIBRARY.get(act)}


@pytest.mark.parametrize("layers", ["unconfined", "by_seccomp", "by_both", "by_the_compilers_layers"])
def test_threads_start_as_they_must(layers: str, request: pytest.FixtureRequest) -> None:
    assert request.getfixturevalue(layers)["start a thread"] == DONE


@pytest.mark.parametrize("act", ["open a file in a new thread", "make a UNIX socket in a new thread"])
def test_a_thread_that_starts_later_is_confined_too(
    act: str, unconfined: Outcomes, by_both: Outcomes
) -> None:
    assert unconfined[act] == DONE
    assert by_both[act] in DENIED


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another machine has no i386 calls")
def test_a_call_by_the_i386_table_is_the_end_of_the_process(
    unconfined: Outcomes, by_seccomp: Outcomes
) -> None:
    if unconfined["call by the i386 table"] != DONE:
        pytest.skip("this kernel has no i386 calls")
    assert by_seccomp["call by the i386 table"] == "SIGSYS"


def test_a_thread_that_cannot_be_filtered_is_noticed() -> None:
    act = "confine beside a filtered thread"
    assert outcomes([act], []) == {act: "ECHILD"}


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing here confines the test's own process."""

    def nothing(*_: object, **__: object) -> None:
        return None

    monkeypatch.setattr("subgraph.execution.confinement.no_new_privileges", nothing)
    monkeypatch.setattr(seccomp, "install", nothing)
    monkeypatch.setattr(landlock, "deny_everything", nothing)
    monkeypatch.setattr(attempts, "ATTEMPTS", {})
    return monkeypatch


def test_an_attempt_that_succeeds_is_named(harmless: pytest.MonkeyPatch) -> None:
    tried: dict[str, Callable[[], bool]] = {
        "swim": lambda: True,
        "fly": lambda: False,
        "make memory executable": lambda: True,
    }
    harmless.setattr(attempts, "ATTEMPTS", tried)
    with pytest.raises(ConfinementError, match=r"could still do this: swim, make memory executable$"):
        confine_system_calls(executable_memory=False)
    with pytest.raises(ConfinementError, match=r"could still do this: swim$"):
        confine_system_calls(executable_memory=True)
    filter_system_calls(executable_memory=False)


def test_a_layer_that_the_kernel_refuses_is_an_error(harmless: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "no")

    harmless.setattr(seccomp, "install", refuse)
    harmless.setattr(landlock, "deny_everything", refuse)
    with pytest.raises(ConfinementError, match="seccomp was not applied: no"):
        confine_system_calls(executable_memory=False)
    with pytest.raises(ConfinementError, match="Landlock was not applied: no"):
        confine_files()


def test_a_kernel_without_landlock_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi_version", lambda: 0)
    with pytest.raises(OSError, match="no Landlock"):
        landlock.deny_everything()


@pytest.mark.parametrize(
    ("abi", "size", "file_rights"),
    [(1, 8, 13), (3, 8, 15), (4, 16, 15), (5, 16, 16), (6, 24, 16), (9, 24, 16)],
)
def test_a_ruleset_names_what_its_abi_knows(abi: int, size: int, file_rights: int) -> None:
    ruleset = landlock._ruleset(abi)
    assert len(ruleset) == size
    assert ctypes.c_uint64.from_buffer_copy(ruleset).value == (1 << file_rights) - 1


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_can_be_assembled_for_every_machine(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    program = seccomp.program(executable_memory=False)
    assert len(program) % 8 == 0
    assert 0 < len(program) // 8 <= 4096  # BPF_MAXINSNS


def test_an_unknown_machine_is_refused(harmless: pytest.MonkeyPatch) -> None:
    harmless.setattr(platform, "machine", lambda: "s390x")
    with pytest.raises(OSError, match="no system call table for s390x"):
        seccomp.program(executable_memory=False)
