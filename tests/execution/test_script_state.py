"""What one run leaves to the next in a shared interpreter: nothing that a script does in good manners."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.execution.scripts import Scripts, scripts
from tests.support.kernel import needs_script_confinement

pytestmark = needs_script_confinement


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with scripts(tmp_path_factory.mktemp("skills")) as opened:
        yield opened


# What a first run changes, and an expression by which the second one sees whether it is as it was.
CHANGES = {
    "a name of the script": ("left = 1", "'left' in globals()"),
    "a module of its own": (
        "import sys, types; sys.modules['mine'] = types.ModuleType('mine')",
        "'mine' in __import__('sys').modules",
    ),
    "a neighbour that was imported": (
        "import neighbour; neighbour.left = 1",
        "hasattr(__import__('neighbour'), 'left')",
    ),
    "a module that is gone": (
        "import sys; del sys.modules['json']",
        "'json' not in __import__('sys').modules",
    ),
    "a built-in name": ("import builtins; builtins.left = 1", "'left' in dir(__import__('builtins'))"),
    "a built-in function": ("import builtins; builtins.sorted = None", "sorted is None"),
    "the environment": ("import os; os.environ['LEFT'] = '1'", "dict(__import__('os').environ) != {}"),
    "another environment": ("import os; os.environ = {'LEFT': '1'}", "dict(__import__('os').environ) != {}"),
    "the arguments": ("import sys; sys.argv.append('left')", "len(__import__('sys').argv) != 1"),
    "the search path": ("import sys; sys.path.insert(0, '/left')", "'/left' in __import__('sys').path"),
    "a tracer": ("import sys; sys.settrace(lambda *a: None)", "__import__('sys').gettrace() is not None"),
    "a profiler": (
        "import sys; sys.setprofile(lambda *a: None)",
        "__import__('sys').getprofile() is not None",
    ),
    "a hook": (
        "import sys; sys.excepthook = print",
        "__import__('sys').excepthook is not __import__('sys').__excepthook__",
    ),
    "the recursion limit": (
        "import sys; sys.setrecursionlimit(99)",
        "__import__('sys').getrecursionlimit() == 99",
    ),
    "garbage collection": ("import gc; gc.disable()", "not __import__('gc').isenabled()"),
    "a signal handler": (
        "import signal; signal.signal(signal.SIGALRM, print)",
        "__import__('signal').getsignal(__import__('signal').SIGALRM) is print",
    ),
    "a decimal context": (
        "import decimal; decimal.getcontext().prec = 3",
        "__import__('decimal').getcontext().prec == 3",
    ),
    "a context variable": (
        "import contextvars, json; json.left = contextvars.ContextVar('left'); json.left.set(1)",
        "__import__('json').left.get(None) is not None",
    ),
    "a warning filter": (
        "import warnings; warnings.simplefilter('error')",
        "any(f[0] == 'error' for f in __import__('warnings').filters)",
    ),
    "the locale": (
        "import locale; locale.setlocale(locale.LC_ALL, 'C')",
        "__import__('locale').setlocale(__import__('locale').LC_CTYPE) == 'C'",
    ),
    "an exit handler": ("import atexit; atexit.register(print, 'left')", "False"),
    "a stream": ("import sys; sys.stdout.write(''); sys.stdin = None", "__import__('sys').stdin is None"),
    "a closed stream": ("import sys; sys.stderr.close()", "__import__('sys').stderr.closed"),
    "the random seed": (
        "import random; random.seed(1)",
        "__import__('random').random() == 0.13436424411240122",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_is_put_back(pool: Scripts, change: str) -> None:
    act, is_left = CHANGES[change]
    source = f"""
import os, sys
if sys.stdin.read() == "act":
    {act}
    print(os.getpid())
else:
    print(os.getpid(), {is_left})
"""
    script = pool.write(source, shared=True, files={"scripts/neighbour.py": ""})
    pid = pool.answer(script, "act").splitlines()[0]
    assert pool.answer(script, "look") == f"{pid} False"


def test_a_run_that_failed_is_cleaned_up_after_too(pool: Scripts) -> None:
    source = """
    import os, sys
    if sys.stdin.read() == "act":
        os.environ["LEFT"] = "1"
        raise ValueError(os.getpid())
    print(os.getpid(), dict(os.environ))
    """
    script = pool.write(source, shared=True)
    error = pool.run(script, "act").error
    assert error is not None
    pid = error.split()[1]
    assert pool.answer(script, "look") == f"{pid} {{}}"


def test_modules_of_the_library_stay_loaded(pool: Scripts) -> None:
    source = """
    import sys
    before = "colorsys" in sys.modules
    import colorsys
    print(before)
    """
    script = pool.write(source, shared=True)
    assert [pool.answer(script) for _ in range(2)] == ["False", "True"]


def test_random_numbers_of_two_runs_are_not_the_same(pool: Scripts) -> None:
    source = "import random; print(random.random())"
    shared, isolated = pool.write(source, shared=True), pool.write(source)
    numbers = [pool.answer(script) for script in (shared, shared, shared, isolated, isolated, isolated)]
    assert len(set(numbers)) == 6


def test_what_a_script_means_to_leave_stays_so_only_trusted_ones_share(pool: Scripts) -> None:
    source = """
    import json, sys
    print(hasattr(json, "left"))
    json.left = True
    """
    script = pool.write(source, shared=True)
    assert [pool.answer(script) for _ in range(2)] == ["False", "True"]
    isolated = pool.write(source)
    assert [pool.answer(isolated) for _ in range(2)] == ["False", "False"]
