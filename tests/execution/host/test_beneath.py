"""Opening below a directory, by the kernel's one call and by steps, while others change the tree."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from subgraph.execution.host import beneath
from subgraph.execution.host.beneath import has_openat2, open_beneath, open_by_kernel, open_by_steps
from tests.support.kernel import needs_root

Opener = Callable[[int, Sequence[str], int, int], int]
OPENS = 4000


@pytest.fixture(params=[open_by_kernel, open_by_steps], ids=["kernel", "steps"])
def opener(request: pytest.FixtureRequest) -> Opener:
    if request.param is open_by_kernel:
        assert has_openat2(), "this kernel has no openat2: the test of it would prove nothing"
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[int]:
    """A descriptor of `inside`, beside which lies `outside`."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("outside")
    inside = tmp_path / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "a" / "b" / "file").write_text("inside")
    (inside / "to-file").symlink_to("a/b/file")
    (inside / "to-folder").symlink_to("a")
    (inside / "to-outside").symlink_to(tmp_path / "outside")
    (inside / "up").symlink_to("..")
    (inside / "to-process").symlink_to("/proc/self")
    root = os.open(inside, os.O_PATH | os.O_DIRECTORY)
    yield root
    os.close(root)


def text_of(opener: Opener, root: int, *parts: str) -> str:
    with os.fdopen(opener(root, parts, os.O_RDONLY | os.O_CLOEXEC, 0)) as file:
        return file.read()


def test_what_lies_below_is_opened(opener: Opener, tree: int) -> None:
    assert text_of(opener, tree, "a", "b", "file") == "inside"
    for parts in ((), ("a",), ("a", "b")):
        descriptor = opener(tree, parts, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, 0)
        assert os.listdir(descriptor)
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)


@pytest.mark.parametrize(
    "parts",
    [("to-file",), ("to-folder",), ("to-folder", "b", "file"), ("to-outside", "file"),
     ("up", "outside", "file"), ("to-process", "environ"), ("to-process", "root", "etc", "passwd")],
)  # fmt: skip
def test_no_link_is_followed(opener: Opener, tree: int, parts: tuple[str, ...]) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the number is checked)
        os.close(opener(tree, parts, os.O_RDONLY | os.O_CLOEXEC, 0))
    assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR, errno.EXDEV}


@needs_root("may mount a file system")
def test_what_the_operator_mounted_below_is_opened_and_nothing_above_it(tmp_path: Path) -> None:
    script = f"""
import os
from subgraph.execution.host.beneath import open_by_kernel, open_by_steps
root = os.open({str(tmp_path)!r}, os.O_PATH | os.O_DIRECTORY)
for opener in (open_by_kernel, open_by_steps):
    with os.fdopen(opener(root, ("mounted", "file"), os.O_RDONLY, 0)) as file:
        print(file.read())
    try:
        opener(root, ("mounted", "up", "file"), os.O_RDONLY, 0)
    except OSError:
        print("refused")
"""
    (tmp_path / "mounted").mkdir()
    (tmp_path / "file").write_text("above")
    inner = "mount -t tmpfs none mounted && echo within > mounted/file && ln -s .. mounted/up && exec"
    mount = ["unshare", "-m", "mount", "-t", "tmpfs", "none", str(tmp_path / "mounted")]
    attempt = subprocess.run(mount, capture_output=True, text=True, check=False)
    if attempt.returncode != 0:
        pytest.skip(f"needs a container that may mount: {attempt.stderr.strip()}")
    command = ["unshare", "-m", "sh", "-c", f'cd "$0" && {inner} "$@"', str(tmp_path), sys.executable]
    environment = {"PYTHONPATH": str(Path(beneath.__file__).parents[3])}
    ended = subprocess.run(
        [*command, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert ended.stdout.split() == ["within", "refused"] * 2, ended.stderr


@pytest.mark.parametrize("part", ["", ".", "..", "a/b", "/etc", "a\0b"])
def test_parts_are_plain_names(tree: int, part: str) -> None:
    with pytest.raises(ValueError, match="plain name"):
        open_beneath(tree, ("a", part), os.O_RDONLY)


def test_files_are_made_with_their_mode(opener: Opener, tree: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    os.close(opener(tree, ("a", "new"), flags, 0o600))
    assert os.stat("a/new", dir_fd=tree).st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        opener(tree, ("a", "new"), flags, 0o600)
    with pytest.raises(OSError):  # noqa: PT011  (a link is there, in whatever words)
        opener(tree, ("to-file",), flags, 0o600)
    with pytest.raises(FileNotFoundError):
        opener(tree, ("none", "new"), flags, 0o600)


def test_no_descriptor_is_left_open(opener: Opener, tree: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for parts in (("a", "none"), ("a", "b", "file", "x"), ("to-outside", "file"), ("none", "x")):
        with contextlib.suppress(OSError):
            os.close(opener(tree, parts, os.O_RDONLY | os.O_CLOEXEC, 0))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_that_turns_into_a_link_leads_nowhere(opener: Opener, tree: int, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "folder").mkdir()
    (inside / "folder" / "file").write_text("inside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (inside / "folder").rename(inside / "kept")
            (inside / "link").rename(inside / "folder")
            (inside / "folder").rename(inside / "link")
            (inside / "kept").rename(inside / "folder")

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen = {"inside": 0, "refused": 0}
    try:
        for _ in range(OPENS):
            try:
                seen[text_of(opener, tree, "folder", "file")] += 1  # KeyError for `outside`
            except OSError:
                seen["refused"] += 1
    finally:
        stop.set()
        swapping.join()
    assert seen["inside"] > 0
    assert seen["refused"] > 0, "the swapping never met an opening: nothing was shown"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_without_openat2_it_is_done_by_steps(tree: int, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refused(*arguments: object) -> int:
        raise OSError(code, "refused")

    monkeypatch.setattr(beneath, "_openat2", refused)
    has_openat2.cache_clear()
    try:
        assert not has_openat2()
        os.close(open_beneath(tree, ("a", "b", "file"), os.O_RDONLY))
    finally:
        has_openat2.cache_clear()


def test_an_opening_that_is_interrupted_is_tried_again(tree: int, monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[OSError | int] = [OSError(errno.EAGAIN, "again"), OSError(errno.EINTR, "signal"), 7]

    def flaky(*arguments: object) -> int:
        result = results.pop(0)
        if isinstance(result, OSError):
            raise result
        return result

    monkeypatch.setattr(beneath, "_openat2", flaky)
    assert open_by_kernel(tree, ("a",), os.O_RDONLY, 0) == 7
    results[:] = [OSError(errno.EAGAIN, "again")] * beneath.ATTEMPTS_LIMIT + [7]
    with pytest.raises(OSError, match="again"):
        open_by_kernel(tree, ("a",), os.O_RDONLY, 0)
