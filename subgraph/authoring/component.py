"""Components as bytes: what one imports, and one made around a core module.

Layouts: WebAssembly's binary format, and the component model's `Binary.md`.
"""

from __future__ import annotations

from collections.abc import Sequence

import wasmtime

from subgraph.authoring.contract import HOST
from subgraph.authoring.errors import AuthoringError

COMPONENT_HEADER = b"\0asm\x0d\x00\x01\x00"
_CORE_MODULE_SECTION, _COMPONENT_IMPORT_SECTION = 1, 10
_CORE_IMPORT_SECTION = 2
_SORT_CORE_MODULE, _SORT_TYPE_BOUND, _SORT_LAST = 0, 3, 5

# The core signature that the canonical ABI gives each function of the host, and its type in the text format.
# Parameters are addresses and lengths; what a function returns is written to the address that comes last.
_STRING = "string"
_TEXT = "(result string (error string))"
_NOTHING = "(result (error string))"
_TEXTS = "(result (list string) (error string))"
_HOST_TYPES = {
    "read-file": (3, f'(param "path" {_STRING}) (result {_TEXT})'),
    "write-file": (5, f'(param "path" {_STRING}) (param "content" {_STRING}) (result {_NOTHING})'),
    "list-dir": (3, f'(param "path" {_STRING}) (result {_TEXTS})'),
    "fetch-url": (3, f'(param "url" {_STRING}) (result {_TEXT})'),
    "get-secret": (3, f'(param "name" {_STRING}) (result {_TEXT})'),
    "read-env": (3, f'(param "name" {_STRING}) (result {_TEXT})'),
    "recall-memory": (4, f'(param "query" {_STRING}) (param "limit" u32) (result {_TEXTS})'),
    "exec-command": (5, f'(param "name" {_STRING}) (param "arguments" (list string)) (result {_TEXT})'),
    "log": (3, f'(param "message" {_STRING}) (result {_NOTHING})'),
}
_RUN = '(param "input" string) (result (result string (error string)))'


class _Reader:
    """Reads a binary from start to end; raises `AuthoringError` where it ends too early."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def byte(self) -> int:
        return self.take(1)[0]

    def unsigned(self) -> int:
        """Read an integer in LEB128, of at most 32 bits."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise AuthoringError("a number in the component is too long")

    def take(self, length: int) -> bytes:
        if length > len(self.data) - self.at:
            raise AuthoringError("the component ends too early")
        self.at += length
        return self.data[self.at - length : self.at]

    def text(self) -> str:
        return self.take(self.unsigned()).decode("utf-8", "replace")

    def sections(self) -> list[tuple[int, bytes]]:
        found = []
        while self.at < len(self.data):
            found.append((self.byte(), self.take(self.unsigned())))
        return found


def component_imports(component: bytes) -> list[str]:
    """Name what the outermost component imports, in order. Raises `AuthoringError`."""
    if not component.startswith(COMPONENT_HEADER):
        raise AuthoringError("what was built is no component")
    names: list[str] = []
    for section, content in _Reader(component, len(COMPONENT_HEADER)).sections():
        if section == _COMPONENT_IMPORT_SECTION:
            reader = _Reader(content)
            names.extend(_component_import(reader) for _ in range(reader.unsigned()))
    return names


def _component_import(reader: _Reader) -> str:
    if reader.byte() > 1:
        raise AuthoringError("an import has a name of an unknown kind")
    name = reader.text()
    sort = reader.byte()
    if sort > _SORT_LAST:
        raise AuthoringError(f"the import {name} is of an unknown kind")
    if sort == _SORT_CORE_MODULE:
        reader.byte()
    bound = reader.byte() if sort == _SORT_TYPE_BOUND else 0
    if bound == 0:
        reader.unsigned()
    return name


def core_imports(module: bytes) -> list[str]:
    """Name the host's functions that a core module imports. Raises `AuthoringError` for anything else."""
    names: list[str] = []
    for section, content in _Reader(module, len(COMPONENT_HEADER)).sections():
        if section != _CORE_IMPORT_SECTION:
            continue
        reader = _Reader(content)
        for _ in range(reader.unsigned()):
            interface, name, kind = reader.text(), reader.text(), reader.byte()
            if interface != HOST or kind != 0 or name not in _HOST_TYPES:
                raise AuthoringError(f"the code needs {interface} {name}, which a skill cannot import")
            reader.unsigned()
            names.append(name)
    return names


def component_around(module: bytes, functions: Sequence[str]) -> bytes:
    """Make a component of a core module that exports `run`, `cabi_realloc` and its memory.

    `functions` are those of the host that it imports. To give it one takes its memory, and it cannot be
    instantiated without it: it gets stand-ins, which call through a table that is filled afterwards.
    """
    text = _text(functions)
    shell = bytes(wasmtime.wat2wasm(text))
    # The text format cannot take a module that is binary already: an empty one holds its place.
    start = shell.index(_CORE_MODULE_SECTION.to_bytes(1, "big"), len(COMPONENT_HEADER))
    reader = _Reader(shell, start + 1)
    length = reader.unsigned()
    end = reader.at + length
    return b"".join([shell[: start + 1], _leb128(len(module)), module, shell[end:]])


def _text(functions: Sequence[str]) -> str:
    imports = "".join(f'    (export "{name}" (func {_HOST_TYPES[name][1]}))\n' for name in functions)
    parameters = {name: " i32" * _HOST_TYPES[name][0] for name in functions}
    stand_ins = "".join(
        f"    (type $t{index} (func (param{parameters[name]})))\n"
        f'    (func (export "{name}") (param{parameters[name]}) (call_indirect (type $t{index})'
        f"{''.join(f' (local.get {at})' for at in range(_HOST_TYPES[name][0]))} (i32.const {index})))\n"
        for index, name in enumerate(functions)
    )
    count = len(functions)
    fillers = "".join(
        f'    (import "" "{name}" (func $f{index} (param{parameters[name]})))\n'
        for index, name in enumerate(functions)
    )
    lowered = "".join(
        f'  (core func $f{index} (canon lower (func $host "{name}")'
        ' (memory (core memory $skill "memory")) (realloc (core func $skill "cabi_realloc"))))\n'
        for index, name in enumerate(functions)
    )
    given = " ".join(f'(export "{name}" (func $f{index}))' for index, name in enumerate(functions))
    placeholder = (
        "  (core module $module\n"
        + "".join(f'    (import "{HOST}" "{name}" (func (param{parameters[name]})))\n' for name in functions)
        + '    (memory (export "memory") 1)\n'
        '    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)\n'
        '    (func (export "run") (param i32 i32) (result i32) unreachable))\n'
    )
    run = (
        f'  (func (export "run") {_RUN} (canon lift (core func $skill "run")\n'
        '    (memory (core memory $skill "memory")) (realloc (core func $skill "cabi_realloc")))))\n'
    )
    if not functions:
        return f"(component\n{placeholder}  (core instance $skill (instantiate $module))\n{run}"
    return (
        f'(component\n{placeholder}  (import "{HOST}" (instance $host\n{imports}  ))\n'
        f'  (core module $standing\n    (table (export "table") {count} {count} funcref)\n{stand_ins}  )\n'
        f'  (core module $filling\n    (import "" "table" (table {count} {count} funcref))\n{fillers}'
        f"    (elem (i32.const 0) func {' '.join(f'$f{index}' for index in range(count))}))\n"
        "  (core instance $standing (instantiate $standing))\n"
        f'  (core instance $skill (instantiate $module (with "{HOST}" (instance $standing))))\n'
        f'{lowered}  (alias core export $standing "table" (core table $table))\n'
        '  (core instance (instantiate $filling (with "" (instance (export "table" (table $table))'
        f" {given}))))\n"
        f"{run}"
    )


def _leb128(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
