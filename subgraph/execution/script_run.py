"""One run of a script: a fresh `__main__`, streams in memory, and a reply that says how it ended."""

from __future__ import annotations

import contextlib
import contextvars
import io
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, NamedTuple

from subgraph.execution.confinement import FileAccess
from subgraph.execution.limits import Limits, memory_exceeded, output_exceeded, time_exceeded
from subgraph.execution.protocol import ANSWERED, FAILED, OVER, Ending, Reply
from subgraph.execution.script_code import ScriptCode
from subgraph.execution.script_state import InterpreterState, run_exit_handlers

ERROR_LINES, ERROR_CHARACTERS = 20, 2000
"""How much of a failed script's stderr is its error: the last lines, and of those the last characters."""

_INTERPRETER_BYTES = 8 * 1024 * 1024
_TEXTS_OF_OUTPUT = 8


def address_space_bytes(memory_bytes: int, output_bytes: int) -> int:
    """Return how much address space a run may take for its limits to be the script's own.

    The interpreter beside it takes some, and a text of the output up to four times its bytes, twice.
    """
    return memory_bytes + _TEXTS_OF_OUTPUT * output_bytes + _INTERPRETER_BYTES


class ScriptCall(NamedTuple):
    """One run of a script: its file, the input as text, and the limits as in `protocol.Call`."""

    entry: str
    input: str
    time_ms: int
    memory_bytes: int
    output_bytes: int

    @classmethod
    def of(cls, entry: Path, input_: str, limits: Limits) -> ScriptCall:
        """Build a call under limits."""
        return cls(str(entry), input_, limits.time_ms, limits.memory_bytes, limits.output_bytes)


class _Output(io.BufferedIOBase):
    """What a script writes to stdout or stderr, up to a limit; past it the run is over."""

    def __init__(self, limit: int, overflow: Callable[[], None]) -> None:
        self._limit = limit
        self._overflow = overflow
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type] # a TypeError is the script's
        if len(self.written) + view.nbytes > self._limit:
            self._overflow()
        self.written += view
        return view.nbytes

    def text(self) -> str:
        return self.written.decode(errors="replace")


class ScriptRunner:
    """Runs scripts of one skill, one after the other, in this interpreter.

    The first directory of `access` is the skill's snapshot. `give_up` gets the reply to a run that
    cannot go on, and must end the process. What lies in the snapshot is compiled once.
    """

    def __init__(self, access: FileAccess, give_up: Callable[[Reply], None]) -> None:
        self._snapshot = access.read[0]
        self._give_up = give_up
        self._code = ScriptCode(self._snapshot)
        self._state = InterpreterState()
        self._main = sys.modules["__main__"]
        package_root = Path(__file__).parents[2]
        roots = {*access.read, *access.write, package_root, Path(sys.prefix), Path(sys.base_prefix)}
        # The longest first: one may lie in another.
        self._roots = sorted((f"{root}/" for root in roots if root != Path("/")), key=len, reverse=True)

    def run(self, call: ScriptCall) -> Reply:
        """Run a script once; never raises for what it does. `clean_up` comes before the next run."""
        return _Run(self, call).reply()

    def clean_up(self) -> None:
        """Put back what the script has changed; see `InterpreterState`."""
        self._state.restore()

    def code(self, entry: str) -> CodeType:
        """Return the compiled script; raises as reading and compiling it does."""
        return self._code.of(entry)

    @contextlib.contextmanager
    def main_module(self, entry: str) -> Iterator[dict[str, object]]:
        """Make a fresh `__main__`, and take it away again."""
        module = ModuleType("__main__")
        module.__file__ = entry
        sys.modules["__main__"] = module
        sys.argv = [entry]
        sys.path = [entry.rpartition("/")[0], *self._state.path]
        try:
            yield module.__dict__
        finally:
            sys.modules["__main__"] = self._main

    def without_paths(self, text: str) -> str:
        """Leave the places of this machine out of a text: paths become relative to them."""
        if "/" in text:
            for root in self._roots:
                text = text.replace(root, "")
        return text

    def place(self, trace: TracebackType | None) -> str:
        """Name the last line of the skill's own that an error went through."""
        own = f"{self._snapshot}/"
        place = ""
        for frame, line in traceback.walk_tb(trace):
            if frame.f_code.co_filename.startswith(own):
                place = f" ({frame.f_code.co_filename.removeprefix(own)}, line {line})"
        return place

    def give_up(self, reply: Reply) -> None:
        """End the process with a reply to the run that is under way."""
        self._give_up(reply)


class _Run:
    """One run of a script."""

    def __init__(self, runner: ScriptRunner, call: ScriptCall) -> None:
        self._runner = runner
        self._call = call
        self._started_ns = time.perf_counter_ns()
        self._resident = _peak_resident_bytes()
        self._stdout = _Output(call.output_bytes, self._overflow)
        self._stderr = _Output(call.output_bytes, self._overflow)

    def reply(self) -> Reply:
        try:
            failure = self._run()
            if self._elapsed_us() > self._call.time_ms * 1000:
                return self._over("time", time_exceeded(self._call.time_ms))
            if failure is not None:
                return self._failed(failure)
            return self._answered()
        except MemoryError:
            return self._over("memory", memory_exceeded(self._call.memory_bytes))

    def _run(self) -> str | None:
        """Run the script; return why it failed, or None. Raises `MemoryError`."""
        call = self._call
        stdin = _text_stream(io.BytesIO(call.input.encode()))
        stdout = _text_stream(self._stdout)
        stderr = _text_stream(self._stderr, errors="backslashreplace", line_buffering=True)
        for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        try:
            failure = self._execute()
            run_exit_handlers()
        finally:
            for stream in (stdout, stderr):
                with contextlib.suppress(ValueError):  # the script has closed or detached it
                    stream.flush()
        if failure is None or failure:
            return failure
        return self._last_words()

    def _execute(self) -> str | None:
        """Return None when the script succeeded, why it failed, or nothing when stderr says why."""
        entry = self._call.entry
        try:
            with self._runner.main_module(entry) as namespace, warnings.catch_warnings():
                code = self._runner.code(entry)
                # A fresh context: its variables, and the decimal context, are those of no other run.
                contextvars.Context().run(exec, code, namespace)
        except SystemExit as end:
            return self._exited(end.code)
        except MemoryError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a script raises, it has failed
            return self._described(error)
        return None

    def _exited(self, code: object) -> str | None:
        if code is None or code == 0:
            return None
        if isinstance(code, int):
            return "" if self._stderr.written else f"the script ended with exit code {int(code)}"
        return _text_of(code)

    def _described(self, error: BaseException) -> str:
        if isinstance(error, SyntaxError) and error.filename is not None:
            place = f" ({error.filename}, line {error.lineno})"
            return f"{type(error).__name__}: {error.msg}{place}"
        text = _text_of(error)
        name = type(error).__name__
        return f"{name}: {text}{self._runner.place(error.__traceback__)}" if text else name

    def _last_words(self) -> str:
        lines = self._stderr.text().strip().splitlines()
        return "\n".join(lines[-ERROR_LINES:]) or "the script ended with an exit code that is not 0"

    def _answered(self) -> Reply:
        try:
            output = self._stdout.written.decode()
        except UnicodeDecodeError:
            return self._failed("the script's output is not UTF-8")
        return self._ended(ANSWERED, output=output.removesuffix("\n"))

    def _failed(self, message: str) -> Reply:
        text = self._runner.without_paths(message)[-ERROR_CHARACTERS:][-self._call.output_bytes :]
        # A lone surrogate in an exception's text fits in no frame.
        text = text.encode("utf-8", "replace").decode()
        return self._ended(FAILED, error=text)

    def _overflow(self) -> None:
        """End a flood at once, whatever the script would do about an exception; never returns."""
        self._runner.give_up(self._over("output", output_exceeded(self._call.output_bytes)))

    def _over(self, limit: str, message: str) -> Reply:
        return self._ended(OVER[limit], error=message)

    def _elapsed_us(self) -> int:
        return (time.perf_counter_ns() - self._started_ns) // 1000

    def _ended(self, end: Ending, *, output: str | None = None, error: str | None = None) -> Reply:
        return Reply(
            exit_code=int(end.exit_code),
            output=output,
            error_code=end.error_code,
            error=error,
            limit=end.limit,
            elapsed_us=self._elapsed_us(),
            memory_bytes=max(0, _peak_resident_bytes() - self._resident),
            # What a script prints is its answer; of one that failed it is what it had to say.
            stdout="" if output is not None else self._runner.without_paths(self._stdout.text()),
            stderr=self._runner.without_paths(self._stderr.text()),
        )


def _text_stream(
    buffer: io.BufferedIOBase, *, errors: str = "strict", line_buffering: bool = False
) -> io.TextIOWrapper:
    anything: Any = buffer  # all that it has to be, whatever its type is called
    return io.TextIOWrapper(anything, "utf-8", errors, "\n", line_buffering=line_buffering)


def _peak_resident_bytes() -> int:
    """Return the most memory that this process has had resident so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _text_of(value: object) -> str:
    """Return a value as text, bounded; one that cannot say it is named by its type."""
    try:
        return str(value)[:ERROR_CHARACTERS]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - it is the script's own code that fails here
        return type(value).__name__
