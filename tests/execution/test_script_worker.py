"""What a script's process may use: directories, descriptors, and nothing of anybody else."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from subgraph.errors import ExecutionFailed
from subgraph.execution.confinement import FileAccess
from subgraph.execution.protocol import HostCall
from subgraph.execution.script_worker import DESCRIPTORS_LIMIT, FILE_BYTES_LIMIT, standard_library
from tests.execution.pools import links, process_file
from tests.execution.scripts import ECHO, Host, Scripts, scripts
from tests.support.kernel import needs_script_confinement

pytestmark = needs_script_confinement


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with scripts(tmp_path_factory.mktemp("skills")) as opened:
        yield opened


TRIES = """
import json, os, sys

def outcome(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"

def names(path):
    return os.listdir(path) if outcome(lambda: os.listdir(path)) == "done" else []

def write(path):
    with open(path, "w") as file:
        file.write("written")

place = json.loads(sys.stdin.read())
print(json.dumps({
    "read": outcome(lambda: open(place + "/file").read()),
    "list": outcome(lambda: os.listdir(place)),
    "overwrite": outcome(lambda: write(place + "/file")),
    "truncate": outcome(lambda: os.truncate(place + "/file", 0)),
    "append": outcome(lambda: open(place + "/file", "a")),
    "create": outcome(lambda: write(place + "/new")),
    "make a directory": outcome(lambda: os.mkdir(place + "/directory")),
    "link": outcome(lambda: os.symlink("/", place + "/link")),
    "hard link": outcome(lambda: os.link(place + "/file", place + "/second")),
    "change mode": outcome(lambda: os.chmod(place + "/file", 0o777)),
    "rename": outcome(lambda: os.rename(place + "/file", place + "/renamed")),
    "remove": outcome(lambda: os.unlink(place + ("/renamed" if "renamed" in names(place) else "/file"))),
}))
"""
READS = {"read", "list"}
WRITES = {"overwrite", "append", "create", "make a directory", "rename", "remove"}


def outcomes(pool: Scripts, place: Path, access: FileAccess) -> set[str]:
    """What a script can do in a directory with one file."""
    tried: dict[str, str] = json.loads(pool.answer(TRIES, json.dumps(str(place)), access=access))
    assert set(tried.values()) <= {"done", "PermissionError", "FileNotFoundError"}
    return {name for name, came_of_it in tried.items() if came_of_it == "done"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    directory = tmp_path / "place"
    directory.mkdir()
    (directory / "file").write_text("given")
    return directory


def test_nothing_is_there_that_was_not_granted(pool: Scripts, place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for access in (FileAccess(), FileAccess((other,)), FileAccess((), (other,))):
        assert outcomes(pool, place, access) == set()
    assert (place / "file").read_text() == "given"


def test_a_directory_to_read_is_not_written(pool: Scripts, place: Path) -> None:
    assert outcomes(pool, place, FileAccess((place,))) == READS
    assert [path.name for path in place.iterdir()] == ["file"]
    assert (place / "file").read_text() == "given"


def test_a_directory_to_write_alone_is_not_read(pool: Scripts, place: Path) -> None:
    assert outcomes(pool, place, FileAccess((), (place,))) == (READS | WRITES) - {"read"}


def test_a_directory_to_write_is_written_and_read_if_granted_but_has_no_links_and_no_modes(
    pool: Scripts, place: Path
) -> None:
    assert outcomes(pool, place, FileAccess((place,), (place,))) == READS | WRITES
    assert sorted(path.name for path in place.iterdir()) == ["directory", "new"]


def test_a_grant_below_another_widens_it_there_alone(pool: Scripts, place: Path) -> None:
    inner = place / "inner"
    inner.mkdir()
    (inner / "file").write_text("given")
    access = FileAccess((place,), (inner,))
    assert outcomes(pool, place, access) == READS
    assert outcomes(pool, inner, access) == READS | WRITES


def test_the_snapshot_is_read_and_not_written(pool: Scripts) -> None:
    script = pool.write(TRIES, files={"file": "given"})
    tried = json.loads(pool.answer(script, json.dumps(str(script.snapshot))))
    assert {name for name, came_of_it in tried.items() if came_of_it == "done"} == READS
    assert (script.snapshot / "file").read_text() == "given"


def test_the_snapshot_of_another_skill_is_not_there(pool: Scripts) -> None:
    other = pool.write(ECHO, files={"file": "given"})
    assert outcomes(pool, other.snapshot, FileAccess()) == set()


def test_that_a_path_exists_can_be_seen_and_no_more(pool: Scripts, place: Path) -> None:
    """Landlock mediates no looks; see `subgraph.execution.confinement`."""
    source = f"""
    import os
    print(os.stat({str(place / "file")!r}).st_size, os.path.exists({str(place / "none")!r}))
    open({str(place / "file")!r})
    """
    reply = pool.run(source)
    assert reply.stdout == "5 False\n"
    assert reply.error is not None
    assert reply.error.startswith("PermissionError")


def test_relative_paths_begin_in_the_first_granted_directory(pool: Scripts, place: Path) -> None:
    where = "import os; print(os.getcwd())"
    script = pool.write(where)
    assert pool.answer(script) == str(script.snapshot)
    assert pool.answer(script, access=FileAccess((place,))) == str(place)


def test_a_directory_that_is_not_there_is_no_start(pool: Scripts, tmp_path: Path) -> None:
    with pytest.raises(ExecutionFailed, match="confinement could not be proved: No such file or directory"):
        pool.run(ECHO, access=FileAccess((tmp_path / "gone",)))


def test_a_directory_that_is_a_link_is_no_start(pool: Scripts, place: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(place)
    with pytest.raises(ExecutionFailed, match="confinement could not be proved"):
        pool.run(ECHO, access=FileAccess((link,)))


def test_a_file_grows_up_to_its_bound(pool: Scripts, tmp_path: Path) -> None:
    source = f"""
    import signal
    size = 0
    with open({str(tmp_path / "large")!r}, "wb", buffering=0) as file:
        file.seek({FILE_BYTES_LIMIT - 1})
        file.write(b"x")
        try:
            file.write(b"x")
        except OSError as error:
            print(error.strerror)
    """
    assert pool.answer(source, access=FileAccess((), (tmp_path,))) == "File too large"
    assert (tmp_path / "large").stat().st_size == FILE_BYTES_LIMIT


def test_descriptors_are_bounded(pool: Scripts) -> None:
    source = """
    import os
    held = []
    try:
        while True: held.append(os.open(__file__, os.O_RDONLY))
    except OSError as error:
        print(len(held), error.strerror)
    """
    count, _, reason = pool.answer(source).partition(" ")
    assert DESCRIPTORS_LIMIT - 5 <= int(count) < DESCRIPTORS_LIMIT
    assert reason == "Too many open files"


def test_a_worker_holds_its_socket_and_streams_that_lead_nowhere(pool: Scripts) -> None:
    seen: list[dict[int, str]] = []
    status: list[str] = []

    class Looking(Host):
        async def __call__(self, call: HostCall) -> list[object]:
            pid = int(str(call.arguments[0]))
            seen.append(links(pid))
            status.append(process_file(pid, "status"))
            status.append(process_file(pid, "environ"))
            status.append(process_file(pid, "oom_score_adj"))
            return ["ok", None]

    source = "import cyberos_host, os; cyberos_host.log(str(os.getpid()))"
    assert pool.run(source, host=Looking()).exit_code == 0
    held, (state, environment, score) = seen[0], status
    assert [held.pop(number) for number in (0, 1, 2)] == ["/dev/null"] * 3
    (socket,) = held.values()
    assert socket.startswith("socket:[")
    fields = {line.partition(":")[0]: line.partition(":")[2].strip() for line in state.splitlines()}
    assert (fields["Seccomp"], fields["NoNewPrivs"], fields["Threads"]) == ("2", "1", "1")
    assert {fields[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
    assert (environment, score) == ("", "1000\n")


def test_the_library_is_that_of_the_interpreter_and_not_its_packages() -> None:
    directories = standard_library()
    assert Path(os.__file__).resolve().parent in directories
    assert all(directory.is_absolute() and directory.is_dir() for directory in directories)
    if sys.prefix != sys.base_prefix:
        assert not any(directory.is_relative_to(sys.prefix) for directory in directories)
