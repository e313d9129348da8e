"""What a script may change in its interpreter, and putting it back before the next run.

This is hygiene for runs of the same skill that follow one another, not isolation: a script that means to
reach the next run can, by changing an object that everybody shares.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import gc
import importlib
import locale
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

# Without the enumerations of the public module, which take half a microsecond for each of 64 signals.
_getsignal: Callable[[int], Any] = importlib.import_module("_signal").getsignal


def restrict_imports(directories: tuple[Path, ...]) -> None:
    """Have modules imported from these directories alone."""
    sys.path[:] = [path for path in sys.path if path and _beneath(str(Path(path).resolve()), directories)]
    sys.path_importer_cache.clear()


def run_exit_handlers() -> None:
    """Run what a script wants run at its end, and forget it; stderr says what goes wrong."""
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no other way without ending the process


def _beneath(path: str, directories: tuple[Path, ...]) -> bool:
    own = Path(path)
    return any(own.is_relative_to(directory) for directory in directories) and not any(
        part in {"site-packages", "dist-packages"} for part in own.parts
    )


class InterpreterState:
    """The state of the interpreter as it was when this was made.

    `restore` puts back: loaded modules (those of the standard library stay loaded), built-in names, the
    environment, the search path, exit handlers, signal handlers, hooks, tracing, the recursion limit,
    garbage collection, the locale, and a fresh random seed. What is not put back: attributes of modules
    and classes, open descriptors, and whatever C libraries keep. Context variables, and with them the
    decimal context, are a matter of each run, as are warning filters.
    """

    def __init__(self) -> None:
        atexit._clear()  # noqa: SLF001 - the zygote's are not a worker's to run
        self._modules = dict(sys.modules)
        self._builtins = dict(vars(builtins))
        os.environ.clear()  # Python itself has put a locale there
        self._environment = os.environ
        self._path = list(sys.path)
        self._hooks = (sys.excepthook, sys.displayhook, sys.unraisablehook, sys.breakpointhook)
        self._recursion_limit = sys.getrecursionlimit()
        self._signals = {number: _getsignal(number) for number in map(int, signal.valid_signals())}
        self._locale = locale.setlocale(locale.LC_ALL)
        self._library = tuple(f"{path}{os.sep}" for path in self._path)

    @property
    def path(self) -> list[str]:
        """Where modules of the standard library are searched."""
        return self._path

    def restore(self) -> None:
        """Put everything back."""
        sys.settrace(None)
        sys.setprofile(None)
        sys.excepthook, sys.displayhook, sys.unraisablehook, sys.breakpointhook = self._hooks
        sys.setrecursionlimit(self._recursion_limit)
        gc.enable()
        names = vars(builtins)
        if names != self._builtins:
            names.clear()
            names.update(self._builtins)
        if sys.modules != self._modules:
            self._restore_modules()
        os.environ = self._environment  # noqa: B003 - the very object, if the script has set another one
        if self._environment:
            self._environment.clear()
        for number, handler in self._signals.items():
            if _getsignal(number) is not handler:
                signal.signal(number, handler)
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        # A tenth of what it takes to fill the generator with random bytes.
        random.seed(int.from_bytes(os.urandom(16), "little"))

    def _restore_modules(self) -> None:
        kept = {
            name: module
            for name, module in sys.modules.items()
            if name not in self._modules and self._is_of_the_library(module)
        }
        sys.modules.clear()
        sys.modules.update(self._modules)
        self._modules |= kept
        sys.modules.update(kept)

    def _is_of_the_library(self, module: ModuleType) -> bool:
        # Whatever a script has put there may answer in any way.
        with contextlib.suppress(Exception):
            origin = module.__spec__.origin if module.__spec__ is not None else None
            return type(module) is ModuleType and origin is not None and origin.startswith(self._library)
        return False
