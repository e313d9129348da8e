"""The code of a skill's script and of the modules beside it, compiled once in a process.

The files are those of a snapshot, which nobody changes: what was compiled from a path stays right.
"""

from __future__ import annotations

import sys
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

_SOURCE_BYTES_LIMIT = 4 * 1024 * 1024  # a bound of what is read at once, not of what a skill may be


class ScriptCode:
    """Compiles the files of one snapshot; modules of it are imported through here."""

    def __init__(self, snapshot: Path) -> None:
        self._compiled: dict[str, CodeType] = {}
        compiled = self._compiled
        own = f"{snapshot}/"

        class Loader(SourceFileLoader):
            """Loads a module of the snapshot, compiled or not; no cache is looked for on disk."""

            def get_code(self, fullname: str) -> CodeType | None:
                path = self.get_filename(fullname)
                if path not in compiled:
                    compiled[path] = self.source_to_code(self.get_data(path), path)
                return compiled[path]

        def hook(path: str) -> FileFinder:
            if not path.startswith(own):
                raise ImportError(path)
            return FileFinder(path, (Loader, [".py"]))

        sys.path_hooks.insert(0, hook)

    def of(self, entry: str) -> CodeType:
        """Return the compiled script; raises as reading and compiling it does."""
        code = self._compiled.get(entry)
        if code is None:
            with open(entry, "rb") as file:  # noqa: PTH123
                source = file.read(_SOURCE_BYTES_LIMIT)
            code = compile(source, entry, "exec", dont_inherit=True)
            self._compiled[entry] = code
        return code
