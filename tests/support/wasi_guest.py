"""A guest that does as it is told: its input is a program of calls of what it imports.

One component, compiled once, thus serves any number of tests. It knows nothing of the functions that it
calls: a program says which, with which core values, and which parts of its memory it wants to see
afterwards. So it can also call them in ways that no toolchain would.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import Final

from tests.support.guests import PAGE, binary
from tests.support.wasi_interfaces import ERRORS, INTERFACES, Function

IMAGE: Final = 0x10000
RESULTS: Final = 0x40000
OUTPUT: Final = 0x100000
SCRATCH: Final = 0x200000
"""Memory that no instruction uses by itself: 2 MiB of zeros, for buffers."""

HEAP: Final = 0x400000

END: Final = -0xE0D
"""Where a program ends, as the place to go to."""

_SLOT_BYTES = 64
_ARGUMENTS = 15
_RECORD = struct.Struct(f"<II{_ARGUMENTS}Q")
_END, _EMIT, _LOOP, _RESET, _COPY, _FILL, _GO_IF, _STORE, _GROW = range(9)
_FIRST_FUNCTION = 9

_CODE = {name: code for code, name in enumerate(
    (name for interface in INTERFACES.values() for name in interface.functions), _FIRST_FUNCTION
)}  # fmt: skip
_DROP = {name: code for code, name in enumerate(
    (name for interface in INTERFACES.values() for name in interface.dropped),
    _FIRST_FUNCTION + len(_CODE),
)}  # fmt: skip
_FUNCTIONS: dict[str, Function] = {
    name: function for interface in INTERFACES.values() for name, function in interface.functions.items()
}

_MEMORY = f"""
 (core module $memory
  (memory (export "memory") {HEAP // PAGE})
  (global $heap (export "heap") (mut i32) (i32.const {HEAP}))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32 i32)
   (local.set 4 (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
   (local.set 5 (i32.add (local.get 4) (local.get 3)))
   (if (i32.gt_u (local.get 5) (i32.mul (memory.size) (i32.const {PAGE})))
    (then (drop (memory.grow
     (i32.add (i32.shr_u (i32.sub (local.get 5) (i32.mul (memory.size) (i32.const {PAGE}))) (i32.const 16))
      (i32.const 1))))))
   (global.set $heap (local.get 5))
   (local.get 4)))
 (core instance $memory (instantiate $memory))
"""

_MACHINE = f"""
  (func $digit (param i32) (result i32)
   (i32.sub (local.get 0) (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get 0) (i32.const 58)))))
  (func $letter (param i32) (result i32)
   (i32.add (local.get 0) (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get 0) (i32.const 10)))))
  (func $byte (param i32)
   (i32.store8 (global.get $out) (call $letter (i32.shr_u (local.get 0) (i32.const 4))))
   (i32.store8 offset=1 (global.get $out) (call $letter (i32.and (local.get 0) (i32.const 15))))
   (global.set $out (i32.add (global.get $out) (i32.const 2))))
  (global $out (mut i32) (i32.const {OUTPUT + 1}))
  (func $emit (param $from i32) (param $count i32) (param $number i32)
   (call $byte (i32.and (local.get $number) (i32.const 255)))
   (call $byte (i32.shr_u (local.get $number) (i32.const 8)))
   (call $byte (i32.and (local.get $count) (i32.const 255)))
   (call $byte (i32.and (i32.shr_u (local.get $count) (i32.const 8)) (i32.const 255)))
   (call $byte (i32.and (i32.shr_u (local.get $count) (i32.const 16)) (i32.const 255)))
   (block $done (loop $next
    (br_if $done (i32.eqz (local.get $count)))
    (call $byte (i32.load8_u (local.get $from)))
    (local.set $from (i32.add (local.get $from) (i32.const 1)))
    (local.set $count (i32.sub (local.get $count) (i32.const 1)))
    (br $next))))
  (global $record (mut i32) (i32.const {IMAGE}))
  (func $argument (param i32) (result i64) (local i64)
   (local.set 1 (i64.load offset=8
    (i32.add (global.get $record) (i32.shl (local.get 0) (i32.const 3)))))
   (if (result i64) (i32.and (i32.load offset=4 (global.get $record)) (i32.shl (i32.const 1) (local.get 0)))
    (then (i64.load32_u (i32.wrap_i64 (local.get 1))))
    (else (local.get 1))))
  (func $word (param i32) (result i32) (i32.wrap_i64 (call $argument (local.get 0))))
  (func $answer (param i32)
   (i32.store (i32.add (i32.const {RESULTS})
     (i32.mul (i32.div_u (i32.sub (global.get $record) (i32.const {IMAGE})) (i32.const {_RECORD.size}))
      (i32.const {_SLOT_BYTES}))) (local.get 0)))
  (func $go (param i32)
   (global.set $record
    (i32.add (i32.const {IMAGE}) (i32.mul (local.get 0) (i32.const {_RECORD.size})))))
  (func (export "run") (param $at i32) (param $length i32) (result i32) (local $to i32) (local $end i32)
   (local.set $end (i32.add (local.get $at) (local.get $length)))
   (loop $find
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br_if $find (i32.ne (i32.load8_u (local.get $at)) (i32.const 58))))
   (local.set $at (i32.add (local.get $at) (i32.const 2)))
   (local.set $to (i32.const {IMAGE}))
   (loop $next
    (i32.store8 (local.get $to)
     (i32.or (i32.shl (call $digit (i32.load8_u (local.get $at))) (i32.const 4))
      (call $digit (i32.load8_u offset=1 (local.get $at)))))
    (local.set $to (i32.add (local.get $to) (i32.const 1)))
    (local.set $at (i32.add (local.get $at) (i32.const 2)))
    (br_if $next (i32.lt_u (i32.add (local.get $at) (i32.const 2)) (local.get $end))))
   (loop $execute
    (local.set $to (global.get $record))
    (call $step)
    (if (i32.eq (local.get $to) (global.get $record))
     (then (global.set $record (i32.add (global.get $record) (i32.const {_RECORD.size})))))
    (br_if $execute (i32.load (global.get $record))))
   (i32.store8 (i32.const {OUTPUT}) (i32.const 34))
   (i32.store8 (global.get $out) (i32.const 34))
   (i32.store8 (i32.const 16) (i32.const 0))
   (i32.store (i32.const 20) (i32.const {OUTPUT}))
   (i32.store (i32.const 24) (i32.sub (i32.add (global.get $out) (i32.const 1)) (i32.const {OUTPUT})))
   (i32.const 16))
"""

_OWN_STEPS = {
    _EMIT: "(call $emit (call $word (i32.const 0)) (call $word (i32.const 1)) (call $word (i32.const 2)))",
    # Count down at an address, and go back until it is zero.
    _LOOP: "(i32.store (call $word (i32.const 0)) (i32.sub (i32.load (call $word (i32.const 0)))"
    " (i32.const 1)))"
    " (if (i32.load (call $word (i32.const 0))) (then (call $go (call $word (i32.const 1)))))",
    _RESET: f"(global.set $heap (i32.const {HEAP}))",
    _COPY: "(memory.copy (call $word (i32.const 0)) (i32.add (call $word (i32.const 1))"
    " (call $word (i32.const 2))) (call $word (i32.const 3)))",
    _FILL: "(memory.fill (call $word (i32.const 0)) (call $word (i32.const 1)) (call $word (i32.const 2)))",
    _GO_IF: "(if (i32.eq (i32.load8_u (call $word (i32.const 0))) (call $word (i32.const 1)))"
    " (then (call $go (call $word (i32.const 2)))))",
    _GROW: "(drop (memory.grow (call $word (i32.const 0))))",
    _STORE: "(i32.store (call $word (i32.const 0)) (call $word (i32.const 1)))",
}


def machine(*interfaces: str) -> str:
    """The text of the guest, with these of `INTERFACES`; name them in their order there."""
    imports, lowered, offered, core_imports = [], [], [], []
    steps = dict(_OWN_STEPS)
    for short in interfaces:
        interface = INTERFACES[short]
        declared = "\n".join(
            f'(export "{function.name}" (func {function.type}))' for function in interface.functions.values()
        )
        imports.append(f'(import "{interface.name}" (instance ${short}_i {interface.types} {declared}))')
        for name in interface.exported:
            alias = f"network-{name}" if short == "network" else name
            imports.append(f'(alias export ${short}_i "{name}" (type ${alias}))')
        for name, function in interface.functions.items():
            lowered.append(
                f'(core func ${name} (canon lower (func ${short}_i "{function.name}")'
                ' (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))'
            )
            steps[_CODE[name]] = _call(name, function.parameters, returns=function.returns)
        for name in interface.dropped:
            lowered.append(f"(core func $drop-{name} (canon resource.drop ${name}))")
            steps[_DROP[name]] = _call(f"drop-{name}", "i", returns=False)
        names = [
            *(
                (name, function.parameters, function.returns)
                for name, function in interface.functions.items()
            ),
            *((f"drop-{name}", "i", False) for name in interface.dropped),
        ]
        for name, parameters, returns in names:
            offered.append(f'(export "{name}" (func ${name}))')
            core_imports.append(
                f'(import "host" "{name}" (func ${name} {_core_parameters(parameters)}'
                f"{' (result i32)' if returns else ''}))"
            )
    code = " ".join(
        f"(if (i32.eq (i32.load (global.get $record)) (i32.const {number})) (then {step} (return)))"
        for number, step in steps.items()
    )
    return f"""
    (component
     {" ".join(imports)} {_MEMORY} {" ".join(lowered)}
     (core instance $host {" ".join(offered)})
     (core module $m
      {" ".join(core_imports)}
      (import "memory" "memory" (memory 1)) (import "memory" "heap" (global $heap (mut i32)))
      (func $step {code} unreachable)
      {_MACHINE})
     (core instance $i (instantiate $m (with "host" (instance $host)) (with "memory" (instance $memory))))
     (func (export "run") (param "input" string) (result (result string (error string)))
      (canon lift (core func $i "run") (memory (core memory $memory "memory"))
       (realloc (core func $memory "realloc")))))
    """


def _call(name: str, parameters: str, *, returns: bool) -> str:
    arguments = " ".join(
        f"(call {'$word' if kind == 'i' else '$argument'} (i32.const {index}))"
        for index, kind in enumerate(parameters)
    )
    call = f"(call ${name} {arguments})"
    return f"(call $answer {call})" if returns else call


def _core_parameters(parameters: str) -> str:
    return " ".join(f"(param {'i32' if kind == 'i' else 'i64'})" for kind in parameters)


@functools.cache
def machine_component(*interfaces: str) -> bytes:
    """The bytes of the guest, assembled once."""
    return binary(machine(*interfaces))


@dataclass(frozen=True, slots=True)
class Word:
    """What lies in memory at an address when an instruction is executed."""

    address: int


Value = int | Word | bytes | str
"""An argument: a number, a word of memory, or bytes, which become their address and length."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one step: `ok`, or the name of an error; and the bytes it was asked to show."""

    step: str
    error: str
    shown: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.error == "ok"


READ, WRITE, MUTATE = 1, 2, 32
"""Bits of `descriptor-flags`."""

CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
"""Bits of `open-flags`."""


class Program:
    """Calls for the guest to make, and how to read its answer.

    Each call keeps its result in a slot; what is to be seen of it is emitted at that moment.
    """

    def __init__(self) -> None:
        self._records: list[tuple[int, list[Value]]] = []
        self._emitted: list[tuple[str, str]] = []

    @property
    def input(self) -> dict[str, str]:
        """The input that has the guest execute this."""
        data = bytearray()
        start = IMAGE + (len(self._records) + 1) * _RECORD.size
        image = bytearray()
        for code, values in self._records:
            mask, words = 0, list[int]()
            for value in values:
                if isinstance(value, Word):
                    mask |= 1 << len(words)
                    words.append(value.address)
                elif isinstance(value, int):
                    value = len(self._records) if value == END else value
                    words.append(value & (2**64 - 1))
                else:
                    raw = value.encode() if isinstance(value, str) else value
                    words += [start + len(data), len(raw)]
                    data += raw
            image += _RECORD.pack(code, mask, *words, *[0] * (_ARGUMENTS - len(words)))
        image += _RECORD.pack(_END, 0, *[0] * _ARGUMENTS) + data
        if IMAGE + len(image) > RESULTS or len(self._records) * _SLOT_BYTES > OUTPUT - RESULTS:
            raise ValueError("the program is too long")
        return {"program": image.hex()}

    def outcomes(self, answer: object) -> list[Outcome]:
        """Read the answer of the guest to this program."""
        if not isinstance(answer, str):
            raise TypeError("the guest did not answer")
        data = bytes.fromhex(answer)
        outcomes: list[Outcome] = []
        while data:
            label, kind = self._emitted[int.from_bytes(data[:2], "little")]
            end = 5 + int.from_bytes(data[2:5], "little")
            chunk, data = data[5:end], data[end:]
            if kind == "shown":
                outcomes[-1] = Outcome(label, outcomes[-1].error, chunk)
            elif kind == "raw":
                outcomes.append(Outcome(label, "ok", chunk))
            else:
                outcomes.append(Outcome(label, _error(chunk, int(kind)), chunk))
        return outcomes

    def here(self) -> int:
        """The number of the next instruction."""
        return len(self._records)

    def call(self, name: str, *values: Value, quiet: bool = False) -> int:
        """Call a function; return the address of its result. `quiet`: do not report how it ended."""
        slot = RESULTS + len(self._records) * _SLOT_BYTES
        self.call_to(slot, name, *values)
        function = _FUNCTIONS[name]
        if not quiet and "(result" in function.type.partition("(result")[2]:
            self._emit(name, str(function.error_at), slot, 48)
        return slot

    def call_to(self, address: int, name: str, *values: Value) -> None:
        """Call a function that is to put its result at an address."""
        returned = [] if _FUNCTIONS[name].returns else [address]
        self._records.append((_CODE[name], [*values, *returned]))

    def drop(self, resource: str, handle: Value) -> None:
        """Give a handle back."""
        self._records.append((_DROP[resource], [handle]))

    def show(self, label: str, address: Value, length: Value) -> None:
        """Have bytes of memory in the answer, as an outcome of their own."""
        self._emit(label, "raw", address, length)

    def times(self, counter: int, back_to: int) -> None:
        """Go back to an instruction as often as the word at `counter` (see `store`) says."""
        self._records.append((_LOOP, [counter, back_to]))

    def go_if(self, address: int, byte: int, to: int) -> None:
        """Go to an instruction if a byte of memory has a value."""
        self._records.append((_GO_IF, [address, byte, to]))

    def store(self, address: int, value: Value) -> None:
        """Write a word."""
        self._records.append((_STORE, [address, value]))

    def copy(self, to: int, base: Value, offset: int, length: int) -> None:
        """Copy memory."""
        self._records.append((_COPY, [to, base, offset, length]))

    def fill(self, address: int, byte: int, length: int) -> None:
        """Fill memory."""
        self._records.append((_FILL, [address, byte, length]))

    def grow(self, size: int) -> None:
        """Grow the memory by so many bytes."""
        self._records.append((_GROW, [size // PAGE]))

    def forget(self) -> None:
        """Reuse the heap, for loops."""
        self._records.append((_RESET, []))

    def directory(self, index: int = 0) -> Word:
        """The handle of a directory that was opened before; traps when there is none."""
        slot = self.call("get-directories", quiet=True)
        self.copy(slot + 32, Word(slot), 12 * index, 4)
        return Word(slot + 32)

    def names_of_directories(self, count: int) -> None:
        """Show how many directories were opened before, and the names of the first ones."""
        slot = self.call("get-directories", quiet=True)
        self.show("count", slot + 4, 4)
        for index in range(count):
            self.copy(slot + 32, Word(slot), 12 * index, 12)
            self.show("name", Word(slot + 36), Word(slot + 40))

    def open(
        self,
        directory: Value,
        path: bytes | str,
        flags: int = READ,
        *,
        how: int = 0,
        follow: bool = True,
        quiet: bool = False,
    ) -> Word:
        """Open a file or directory; its handle. The program ends when that fails."""
        slot = self.call("open-at", directory, int(follow), path, how, flags, quiet=quiet)
        self.go_if(slot, 1, END)
        return Word(slot + 4)

    def read(self, file: Value, length: int = 4096, offset: int = 0) -> None:
        """Read, and show what was read."""
        slot = self.call("read", file, length, offset)
        self.go_if(slot, 0, self.here() + 2)
        self.store(slot + 8, 0)  # after an error there is nothing to show
        self._emit("read", "shown", Word(slot + 4), Word(slot + 8))

    def _emit(self, label: str, kind: str, address: Value, length: Value) -> None:
        self._emitted.append((label, kind))
        self._records.append((_EMIT, [address, length, len(self._emitted) - 1]))


def _error(chunk: bytes, error_at: int) -> str:
    if chunk[0] == 0:
        return "ok"
    code = chunk[error_at]
    return ERRORS[code] if code < len(ERRORS) else f"error {code}"
