"""Running an operator's programs: what they are given, how they end, and that nothing of them stays."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from subgraph.execution.host import HostCallError
from subgraph.execution.host import commands as module
from subgraph.execution.host.commands import ERROR_TAIL, run_command
from tests.execution.pools import children
from tests.security.ground import Ground

LIMIT = 100_000
SECONDS = 20.0


def never() -> bool:
    return False


class Bench:
    """Programs, and the workspace that they run in."""

    def __init__(self, root: Path) -> None:
        self.workspace = root / "workspace"
        self.folder = root / "commands"
        self.workspace.mkdir()
        self.folder.mkdir()

    def run(
        self,
        script: str,
        *arguments: str,
        seconds: float = SECONDS,
        limit: int = LIMIT,
        abandoned: Callable[[], bool] = never,
    ) -> str:
        Ground.program(self.folder / "it", script)
        return run_command(self.folder / "it", arguments, self.workspace, seconds, limit, abandoned)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_arguments_arrive_as_they_are_and_output_comes_back(bench: Bench) -> None:
    told = ("a b", "$HOME", "*", "", "\n", "đ", "-n")
    assert bench.run("printf '[%s]' \"$@\"", *told) == "".join(f"[{one}]" for one in told)


def test_a_program_gets_no_environment_no_input_and_the_workspace(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBEROS_JWT_KEY", "key")
    names = bench.run("cat; cat /proc/self/environ | tr '\\0' '\\n' | cut -d= -f1").split()
    assert set(names) <= {"LANG", "LC_ALL", "TZ", "PWD", "OLDPWD", "SHLVL", "_"}
    assert bench.run("pwd").strip() == str(bench.workspace)


def test_descriptors_of_the_service_are_not_passed_on(bench: Bench) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        # The shell's own, and those of what it starts.
        assert str(writing) not in bench.run("ls /proc/$$/fd").split()
    finally:
        os.close(reading)
        os.close(writing)


def test_a_program_that_fails_is_an_error_with_the_end_of_what_it_said(bench: Bench) -> None:
    with pytest.raises(HostCallError, match=r"exit code 3: no such invoice$"):
        bench.run("echo no such invoice >&2; exit 3")
    with pytest.raises(HostCallError, match="exit code -9"):
        bench.run("kill -9 $$")
    with pytest.raises(HostCallError) as caught:
        bench.run("head -c 100000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1")
    assert caught.value.message.endswith("xthe end")
    assert len(caught.value.message) < ERROR_TAIL + 100


def test_what_cannot_be_started_is_told_without_its_place(bench: Bench, tmp_path: Path) -> None:
    (bench.folder / "text").write_text("text")
    (bench.folder / "nothing").write_text("#!/no/such/interpreter\n")
    (bench.folder / "nothing").chmod(0o755)
    (bench.folder / "broken").write_bytes(b"\x7fELF nonsense")
    (bench.folder / "broken").chmod(0o755)
    for name, reason in {
        "none": "there is no command none",
        "text": "text is not executable",
        ".": "not executable",
        "nothing": "cannot be started",
        "broken": "cannot be started",
    }.items():
        with pytest.raises(HostCallError, match=reason) as caught:
            run_command(bench.folder / name, [], bench.workspace, SECONDS, LIMIT, never)
        assert str(tmp_path) not in caught.value.message


def test_output_is_bounded_and_is_text(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.run("printf 12345", limit=5) == "12345"
    with pytest.raises(HostCallError, match="wrote more than 4 bytes"):
        bench.run("printf 12345", limit=4)
    with pytest.raises(HostCallError, match="wrote more than 100000 bytes"):
        bench.run("yes")
    monkeypatch.setattr(module, "OUTPUT_LIMIT", 3)
    with pytest.raises(HostCallError, match="wrote more than 3 bytes"):
        bench.run("printf 12345")
    with pytest.raises(HostCallError, match="not UTF-8"):
        bench.run("printf '\\377'")


def test_all_output_is_read_of_a_program_that_ends_at_once(bench: Bench) -> None:
    for _ in range(20):
        assert len(bench.run("head -c 60000 /dev/zero | tr '\\0' x")) == 60_000


@pytest.mark.parametrize(
    "script", ["sleep 600", "exec sleep 600 >&- 2>&-", "trap '' TERM; sleep 600; sleep 600"]
)
def test_a_program_is_stopped_at_its_time(bench: Bench, script: str) -> None:
    with pytest.raises(HostCallError, match="ran out of time"):
        bench.run(f"echo $$ > pid; {script}", seconds=0.5)
    assert gone(int((bench.workspace / "pid").read_text()))


def test_without_time_nothing_starts(bench: Bench) -> None:
    with pytest.raises(HostCallError, match="ran out of time"):
        bench.run("touch started", seconds=0)
    assert not (bench.workspace / "started").exists()


def test_a_program_is_stopped_when_nobody_waits_any_longer(bench: Bench) -> None:
    left = threading.Event()
    threading.Timer(0.3, left.set).start()
    with pytest.raises(HostCallError):
        bench.run("echo $$ > pid; sleep 600", abandoned=left.is_set)
    assert gone(int((bench.workspace / "pid").read_text()))


@pytest.mark.parametrize("end", ["exit 0", "exit 3", "sleep 600", "yes"])
def test_children_do_not_outlive_a_program_however_it_ends(bench: Bench, end: str) -> None:
    try:
        bench.run(f"sleep 600 & echo $! > child; {end}", seconds=1.0)
    except HostCallError:
        assert end != "exit 0"
    assert gone(int((bench.workspace / "child").read_text()))


def test_a_child_with_a_session_of_its_own_does_not_hold_up_the_answer(bench: Bench) -> None:
    script = "setsid sh -c 'echo $$ > child; exec sleep 60' & while [ ! -s child ]; do :; done; echo done"
    try:
        assert bench.run(script) == "done\n"
    finally:
        os.kill(int((bench.workspace / "child").read_text()), 9)


def test_no_descriptor_and_no_zombie_is_left(bench: Bench) -> None:
    before, living = len(os.listdir("/proc/self/fd")), children(os.getpid())
    bench.run("true")
    for script in ("exit 1", "yes"):
        with pytest.raises(HostCallError):
            bench.run(script)
    assert len(os.listdir("/proc/self/fd")) == before
    assert children(os.getpid()) == living


def gone(number: int) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False
