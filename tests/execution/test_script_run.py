"""What a script is given, and what its end means: each case runs in a confined process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subgraph.execution.script_run import ERROR_CHARACTERS, ERROR_LINES
from tests.execution.scripts import ECHO, LIMITS, Scripts, scripts
from tests.support.guests import MIB
from tests.support.kernel import needs_script_confinement

pytestmark = needs_script_confinement


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with scripts(tmp_path_factory.mktemp("skills")) as opened:
        yield opened


def test_the_input_is_stdin_and_stdout_is_the_answer(pool: Scripts) -> None:
    reply = pool.run(ECHO, '{"mst":"0123456789","đ":[1,null]}')
    assert (reply.exit_code, reply.output) == (0, '{"mst":"0123456789","đ":[1,null]}')
    assert (reply.error_code, reply.error, reply.limit, reply.stdout, reply.stderr) == (
        None, None, None, "", "",
    )  # fmt: skip
    assert reply.elapsed_us > 0


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8")))
def test_any_text_goes_in_and_comes_out_as_it_is(pool: Scripts, text: str) -> None:
    echo = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() + b'\\n')"
    assert pool.run(echo, text).output == text


def test_one_line_end_after_the_answer_is_no_part_of_it(pool: Scripts) -> None:
    assert pool.answer("print('{}')") == "{}"
    assert pool.answer("print('{}\\n')") == "{}\n"
    assert pool.answer("pass") == ""


def test_stderr_of_a_script_that_succeeds_stands_beside_its_answer(pool: Scripts) -> None:
    reply = pool.run("import sys; print(1); print('note: è', file=sys.stderr)")
    assert (reply.exit_code, reply.output, reply.stderr) == (0, "1", "note: è\n")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise ValueError('no tax code')", "ValueError: no tax code (scripts/main.py, line 1)"),
        ("def f():\n  return {}['a']\nf()", "KeyError: 'a' (scripts/main.py, line 2)"),
        ("raise ValueError", "ValueError"),
        ("int('x')", "ValueError: invalid literal for int() with base 10: 'x' (scripts/main.py, line 1)"),
        ("x = = 1", "SyntaxError: invalid syntax (scripts/main.py, line 1)"),
        ("import absent", "ModuleNotFoundError: No module named 'absent' (scripts/main.py, line 1)"),
        ("import sys; sys.exit('input_invalid: no')", "input_invalid: no"),
        ("import sys; sys.exit(3)", "the script ended with exit code 3"),
        ("import sys; sys.exit(True)", "the script ended with exit code 1"),
        ("import sys; print('a\\nb', file=sys.stderr); sys.exit(1)", "a\nb"),
        (
            "import sys; print(' ', file=sys.stderr); sys.exit(1)",
            "the script ended with an exit code that is not 0",
        ),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "the script's output is not UTF-8"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('\\ud800')", "ValueError: ? (scripts/main.py, line 1)"),
        (
            "class E(Exception):\n  def __str__(self): raise OSError\nraise E",
            "E: E (scripts/main.py, line 3)",
        ),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded (scripts/main.py, line 1)"),
    ],
)
def test_a_script_that_fails_says_why(pool: Scripts, source: str, error: str) -> None:
    reply = pool.run(source)
    assert (reply.exit_code, reply.error_code, reply.limit, reply.output) == (
        1, "EXECUTION_FAILED", None, None,
    )  # fmt: skip
    assert reply.error == error


@pytest.mark.parametrize("end", ["sys.exit()", "sys.exit(0)", "sys.exit(None)", "raise SystemExit"])
def test_an_exit_that_is_no_failure_leaves_the_answer(pool: Scripts, end: str) -> None:
    assert pool.answer(f"import sys; print('{{}}'); {end}") == "{}"


def test_the_error_of_a_script_is_bounded(pool: Scripts) -> None:
    reply = pool.run("import sys\nfor i in range(100): print(i, file=sys.stderr)\nsys.exit(1)")
    assert reply.error == "\n".join(map(str, range(100 - ERROR_LINES, 100)))
    assert reply.stderr.startswith("0\n1\n")
    reply = pool.run("raise ValueError('x' * 100_000)")
    assert reply.error is not None
    assert len(reply.error) == ERROR_CHARACTERS


def test_what_a_failed_script_printed_is_kept(pool: Scripts) -> None:
    reply = pool.run("print('so far'); raise ValueError")
    assert (reply.output, reply.stdout) == (None, "so far\n")


def test_no_place_of_this_machine_is_told(pool: Scripts) -> None:
    script = pool.write(
        "import traceback\ntry:\n  1/0\nexcept Exception:\n  traceback.print_exc()\nopen(__file__ + 'x')"
    )
    reply = pool.run(script)
    assert reply.error is not None
    for text in (reply.error, reply.stderr):
        assert "main.py" in text
        assert str(script.snapshot) not in text
    reply = pool.run("import json; json.loads('{'); print('never')")
    assert reply.error is not None
    assert "/lib/python" not in reply.error


def test_it_is_a_program_as_python_starts_one(pool: Scripts) -> None:
    source = """
    import json, os, sys
    print(json.dumps({
        "name": __name__, "file": __file__, "argv": sys.argv, "first": sys.path[0],
        "main": sys.modules["__main__"].__dict__ is globals(), "environment": dict(os.environ),
    }))
    """
    script = pool.write(source)
    entry = str(script.entry)
    assert json.loads(pool.answer(script)) == {
        "name": "__main__", "file": entry, "argv": [entry], "first": str(script.entry.parent), "main": True,
        "environment": {},
    }  # fmt: skip


def test_it_imports_its_neighbours_and_reads_what_the_skill_brings(pool: Scripts) -> None:
    source = """
    from pathlib import Path
    import neighbour, package.inner
    table = Path(__file__).parent.parent / "references" / "table.txt"
    print(neighbour.NAME, package.inner.NAME, table.read_text(encoding="utf-8"))
    """
    files = {
        "scripts/neighbour.py": "NAME = 'next'",
        "scripts/package/__init__.py": "",
        "scripts/package/inner.py": "NAME = 'inner'",
        "references/table.txt": "bảng",
    }
    assert pool.answer(pool.write(source, files=files)) == "next inner bảng"


@pytest.mark.parametrize("shared", [False, True])
def test_its_neighbours_are_fresh_in_every_run(pool: Scripts, shared: bool) -> None:
    source = "import neighbour; neighbour.COUNT.append(1); print(len(neighbour.COUNT))"
    script = pool.write(source, shared=shared, files={"scripts/neighbour.py": "COUNT = []"})
    assert [pool.answer(script) for _ in range(3)] == ["1", "1", "1"]


def test_a_fault_in_a_neighbour_is_located(pool: Scripts) -> None:
    broken = pool.write("import neighbour", files={"scripts/neighbour.py": "\ndef f(:\n"})
    assert pool.run(broken).error == "SyntaxError: invalid syntax (scripts/neighbour.py, line 2)"
    raising = pool.write("import neighbour", files={"scripts/neighbour.py": "\n1 / 0\n"})
    assert pool.run(raising).error == "ZeroDivisionError: division by zero (scripts/neighbour.py, line 2)"


def test_what_the_worker_has_loaded_for_itself_cannot_be_imported(pool: Scripts) -> None:
    for module in ("subgraph", "msgpack", "asyncpg"):
        reply = pool.run(f"import {module}")
        assert reply.error == f"ModuleNotFoundError: No module named '{module}' (scripts/main.py, line 1)"


@pytest.mark.parametrize(
    "module",
    ["json", "decimal", "datetime", "re", "csv", "xml.etree.ElementTree", "hashlib", "unicodedata", "sqlite3",
     "zoneinfo", "email", "http.cookies", "colorsys", "asyncio"],
)  # fmt: skip
def test_the_standard_library_can_be_imported_as_far_as_it_is_python_or_loaded(
    pool: Scripts, module: str
) -> None:
    reply = pool.run(f"import {module}; print({module}.__name__)")
    if reply.exit_code:  # an extension module that no worker has loaded cannot be loaded any more
        assert reply.error is not None
        assert "ImportError" in reply.error
        assert module in {"sqlite3", "asyncio"}
    else:
        assert reply.output == module


def test_time_zones_are_known(pool: Scripts) -> None:
    source = """
    from datetime import datetime
    from zoneinfo import ZoneInfo
    print(datetime(2026, 1, 1, tzinfo=ZoneInfo("Asia/Ho_Chi_Minh")))
    """
    assert pool.answer(source) == "2026-01-01 00:00:00+07:00"


def test_exit_handlers_run_and_are_heard(pool: Scripts) -> None:
    assert pool.answer("import atexit; atexit.register(print, 'last'); print('first')") == "first\nlast"


@pytest.mark.parametrize(
    "source",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "from signal import *\nsignal(SIGTERM, SIG_IGN); signal(SIGINT, SIG_IGN)\nwhile True: pass",
        "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
        "import atexit, time; atexit.register(time.sleep, 60)",
        "int('9' * 4000) ** 10_000_000",
    ],
    ids=["loops", "sleeps", "ignores signals", "catches everything", "sleeps at its end", "computes in C"],
)
def test_a_script_over_its_time_ends_with_124(pool: Scripts, source: str) -> None:
    limits = replace(LIMITS, time_ms=200)
    reply = pool.run(source, limits=limits)
    assert (reply.exit_code, reply.error_code, reply.limit) == (124, "LIMIT_EXCEEDED", "time")
    assert reply.error == "the skill ran for longer than 200 ms and was stopped"
    assert reply.elapsed_us >= 200_000


@pytest.mark.parametrize(
    "source",
    [
        "x = bytearray(1 << 30)",
        "x = []\nwhile True: x.append(bytes(1 << 20))",
        "import mmap; mmap.mmap(-1, 1 << 30)",
        "x = 'x' * (1 << 33)",
    ],
    ids=["at once", "bit by bit", "a mapping", "a text"],
)
def test_a_script_over_its_memory_is_stopped(pool: Scripts, source: str) -> None:
    reply = pool.run(source)
    if "mmap" in source:  # to Python it is an error of the system and not of memory
        assert (reply.exit_code, reply.error) == (
            1, "OSError: [Errno 12] Cannot allocate memory (scripts/main.py, line 1)",
        )  # fmt: skip
    else:
        assert (reply.exit_code, reply.error_code, reply.limit) == (137, "LIMIT_EXCEEDED", "memory")
        assert reply.error == f"the skill used more than {64 * MIB} bytes and was stopped"


def test_memory_within_the_limit_is_there_and_counted(pool: Scripts) -> None:
    reply = pool.run("x = bytearray(60 << 20); print(len(x))")
    assert reply.output == str(60 << 20)
    assert 55 * MIB < reply.memory_bytes < 70 * MIB


@pytest.mark.parametrize(
    "source",
    [
        "while True: print('x' * 1000)",
        "import sys\nwhile True: sys.stderr.write('x' * 1000)",
        "while True:\n  try:\n    while True: print('x' * 1000)\n  except BaseException: pass",
        "print('x' * (8 << 20))",
        "import sys; sys.stdout.buffer.write(bytes(8 << 20))",
    ],
    ids=["stdout", "stderr", "catches everything", "at once", "bytes"],
)
def test_a_script_that_prints_too_much_ends_with_137(pool: Scripts, source: str) -> None:
    reply = pool.run(source)
    assert (reply.exit_code, reply.error_code, reply.limit) == (137, "LIMIT_EXCEEDED", "output")
    assert reply.error == f"the skill's output is over {MIB} bytes and was dropped"


def test_output_as_large_as_the_limit_is_answered(pool: Scripts) -> None:
    assert len(pool.answer(f"import sys; sys.stdout.write('x' * {MIB})")) == MIB


@pytest.mark.parametrize(
    "source",
    [
        "import os; os._exit(0)",
        "import os; os.abort()",
        "import ctypes; ctypes.string_at(0)",
        "import os; os.closerange(3, 64)",
    ],
    ids=["exits", "aborts", "crashes", "closes every descriptor"],
)
def test_a_process_that_dies_has_failed_and_costs_nobody_else(pool: Scripts, source: str) -> None:
    reply = pool.run(source)
    assert (reply.exit_code, reply.error_code, reply.output) == (1, "EXECUTION_FAILED", None)
    assert reply.error == "the worker process died while it ran the skill"
    assert pool.answer(ECHO) == "{}"


@pytest.mark.parametrize(
    "source",
    [
        "import sys; sys.stdout.close()",
        "import sys; sys.stdout = None; sys.stderr = None",
        "import sys; sys.stdout.detach()",
        "import sys; sys.modules.clear()",
        "import builtins; builtins.len = builtins.isinstance = builtins.str = None",
    ],
)
def test_streams_and_names_that_a_script_breaks_cost_it_its_answer_at_most(
    pool: Scripts, source: str
) -> None:
    reply = pool.run(source)
    assert reply.exit_code in {0, 1}
    assert not reply.output
    assert pool.answer(ECHO) == "{}"
