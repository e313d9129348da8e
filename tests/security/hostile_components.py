"""Components that lie to whoever loads or starts them or reads their answers; texts, or bytes as they are."""

from __future__ import annotations

from tests.support import guests
from tests.support.guests import binary, pure

HARMLESS = binary(guests.ECHO)

_RUN_TYPE = '(param "input" string) (result (result string (error string)))'

_HEAP = """
  (global $heap (mut i32) (i32.const 4096))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32)
   (global.set $heap (i32.add (global.get $heap) (local.get 3)))
   (i32.sub (global.get $heap) (local.get 3)))
"""

_ANSWERS = "(i32.store (i32.const 20) (i32.const 64)) (i32.store (i32.const 24) (i32.const 2)) (i32.const 16)"


def lifted(run: str, *, realloc: str = _HEAP, options: str = "", declarations: str = "") -> str:
    """A component whose core function `run` is given as it is, with options of `canon lift`."""
    return f"""
    (component
     (core module $m
      (memory (export "memory") 1) {realloc} {declarations}
      (func $run (export "run") (param i32 i32) (result i32) {run}))
     (core instance $i (instantiate $m))
     (func (export "run") {_RUN_TYPE}
      (canon lift (core func $i "run") (memory (core memory $i "memory"))
       (realloc (core func $i "realloc")) {options})))
    """


def _returns(pointer: int, length: int, *, tag: int = 0, options: str = "") -> str:
    return lifted(
        f"(i32.store8 (i32.const 16) (i32.const {tag})) (i32.store (i32.const 20) (i32.const {pointer}))"
        f" (i32.store (i32.const 24) (i32.const {length})) (i32.const 16)",
        options=options,
    )


def _reallocates(body: str) -> str:
    return lifted(_ANSWERS, realloc=f'(func (export "realloc") (param i32 i32 i32 i32) (result i32) {body})')


_POST = '(post-return (core func $i "post"))'


def _after(body: str) -> str:
    return lifted(
        _ANSWERS, options=_POST, declarations=f'(func (export "post") (param i32) {body})'
    )  # fmt: skip


def _with(before: str) -> str:
    """Put definitions at the head of a harmless component."""
    return "(component" + before + pure().partition("(component")[2]


def _nested(levels: int) -> bytes:
    """Put components into components; the text format has a bound of its own."""
    header, section = HARMLESS[:8], 4
    inner = header
    for _ in range(levels):
        inner = header + bytes([section]) + _unsigned(len(inner)) + inner
    return inner + HARMLESS[8:]


def _unsigned(value: int) -> bytes:
    """Encode an unsigned integer in LEB128."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _deep_type(levels: int) -> str:
    types = "(type $t0 (list u8))" + "".join(
        f"(type $t{n} (tuple $t{n - 1} $t{n - 1}))" for n in range(1, levels)
    )
    return _with(types)


def _imports(count: int) -> str:
    return _with("".join(f'(import "cyberos:skill/host{n}@0.1.0" (instance))' for n in range(count)))


def _host(declaration: str, *, types: str = "") -> str:
    return _with(f'(import "cyberos:skill/host@0.1.0" (instance {types} {declaration}))')


def _memories(count: int) -> str:
    return pure(declarations="(memory 1)" * count)


def _instances(count: int) -> str:
    made = "(core instance (instantiate $e))" * count
    return _with(f"(core module $e (memory 1) (table 10 funcref)) {made}")


def _many_functions(count: int) -> str:
    return pure(declarations="(func (loop $l (br $l)))" * count)


_STRING = '(func (param "message" string) (result (result (error string))))'

REFUSED: dict[str, str | bytes] = {
    "empty-file": b"",
    "no-webassembly": b"\x7fELF" + bytes(64),
    "garbage-after-the-header": guests.GARBAGE,
    "core-module": guests.CORE_MODULE,
    "cut-in-half": HARMLESS[: len(HARMLESS) // 2],
    "last-byte-missing": HARMLESS[:-1],
    "section-longer-than-the-file": HARMLESS[:8] + b"\x01\xff\xff\xff\xff\x0f",
    "version-of-the-future": HARMLESS[:4] + b"\xff\x00\x01\x00" + HARMLESS[8:],
    "bytes-after-the-end": HARMLESS + b"\0asm",
    "machine-code-instead": b"\x7fELF\x02\x01\x01" + bytes(1024),
    "64-bit-memory": _with("(core module (memory i64 1))"),
    "shared-memory": _with("(core module (memory 1 2 shared))"),
    "five-thousand-imports": _imports(5000),
    "unknown-interface": guests.IMPORTS_AN_UNKNOWN_WASI,
    "another-hosts-interface": guests.IMPORTS_A_HOST,
    "http": _with('(import "wasi:http/outgoing-handler@0.2.0" (instance))'),
    "wasi-of-preview-1": _with('(import "wasi_snapshot_preview1" (instance))'),
    "unknown-host-function": _host(f'(export "run-anything" {_STRING})'),
    "host-function-without-result": _host('(export "log" (func (param "message" string)))'),
    "host-function-with-bytes-for-text": _host(
        '(export "log" (func (param "message" (list u8)) (result (result (error string)))))'
    ),
    "host-function-with-a-parameter-more": _host(
        '(export "read-file" (func (param "path" string) (param "owner" u32)'
        " (result (result string (error string)))))"
    ),
    "host-resource-of-its-own": _host(
        '(export "handle" (type (sub resource))) (export "log" (func (param "message" string)'
        " (result (result (error string)))))"
    ),
    "host-as-a-function": _with('(import "cyberos:skill/host@0.1.0" (func))'),
    "root-import-of-a-function": _with('(import "system" (func (param "command" string)))'),
    "imported-component": _with('(import "other" (component))'),
    "imported-module": _with('(import "other" (core module))'),
    "run-of-another-type": guests.EXPORTS_ANOTHER_RUN,
    "no-run": guests.EXPORTS_NO_RUN,
    "type-of-exponential-size": _deep_type(60),
    "components-in-components": _nested(1000),
    "a-hundred-memories": _memories(100),
    "a-thousand-instances": _instances(1000),
    "memory-of-4-gibibytes-at-once": pure(
        declarations='(memory 65536) (data (memory 1) (i32.const -8) "x")'
    ),
}  # fmt: skip
"""What is not run at all."""

STOPPED: dict[str, str] = {
    "resource-that-is-not-there": _with(
        '(import "wasi:filesystem/types@0.2.0" (instance (export "root" (type (sub resource)))))'
    ),
    "memory-grows": guests.TOUCHES_MORE_AND_MORE,
    "memory-grows-at-once": guests.GROWS_BY_A_GIBIBYTE,
    "memory-filled-by-one-instruction": guests.fills(60_000),
    "memory-of-256-mib-at-the-start": guests.STARTS_WITH_256_MIB,
    "data-beyond-its-memory": pure(declarations='(data (i32.const 65530) "beyond the end")'),
    "table-grows": guests.GROWS_A_TABLE,
    "recursion": guests.RECURSES,
    "recursion-with-large-frames": pure(
        "(drop (call $deeper (i64.const 1)))",
        declarations="(func $deeper (param i64) (result i64)"
        + "".join(f"(local $l{n} i64)" for n in range(500))
        + "".join(f"(local.set $l{n} (i64.add (local.get 0) (i64.const {n})))" for n in range(500))
        + "(i64.add (call $deeper (local.get $l499)) "
        + "(i64.add (local.get $l1) " * 200 + "(local.get $l2)" + ")" * 200 + "))",
    ),
    "start-function-loops": guests.LOOPS_BEFORE_IT_RUNS,
    "start-function-traps": pure(declarations="(func $start unreachable) (start $start)"),
    "start-function-fills-memory": pure(
        declarations="(func $start (loop $l (drop (memory.grow (i32.const 16)))"
        " (memory.fill (i32.const 65536) (i32.const 1)"
        " (i32.mul (i32.sub (memory.size) (i32.const 1)) (i32.const 65536)))"
        " (br $l))) (start $start)"
    ),
    "division-by-zero": pure("(local.set $i (i32.div_u (i32.const 1) (i32.const 0)))"),
    "call-of-nothing": pure(
        "(call_indirect (type $t) (i32.const 0))", declarations="(type $t (func)) (table 1 funcref)"
    ),
    "call-beyond-the-table": pure(
        "(call_indirect (type $t) (i32.const -1))", declarations="(type $t (func)) (table 1 funcref)"
    ),
    "call-of-another-type": pure(
        "(drop (call_indirect (type $t) (i64.const 1) (i32.const 0)))",
        declarations="(type $t (func (param i64) (result i64))) (func $f) (table funcref (elem $f))",
    ),
    "read-beyond-its-memory": pure("(local.set $i (i32.load offset=0xffffffff (i32.const -1)))"),
    "write-before-its-memory": pure("(i32.store (i32.const -4) (i32.const 1))"),
    "answer-from-outside": guests.ANSWERS_FROM_OUTSIDE_ITS_MEMORY,
    "answer-that-wraps-around": _returns(-16, 32),
    "answer-of-2-gibibytes": _returns(0, -(2**31)),
    "answer-of-the-longest-length": _returns(0, -1),
    "answer-beyond-by-one": _returns(65_535, 2),
    "answer-with-an-unknown-tag": _returns(64, 2, tag=7),
    "answer-no-utf8": guests.ANSWERS_WITH_INVALID_UTF8,
    "answer-cut-inside-a-character": lifted(
        "(i32.store16 (i32.const 64) (i32.const 0x9ff0)) " + _ANSWERS
    ),
    "answer-of-half-a-surrogate": lifted(
        "(i32.store16 (i32.const 64) (i32.const 0xd800)) (i32.store (i32.const 20) (i32.const 64))"
        " (i32.store (i32.const 24) (i32.const 1)) (i32.const 16)",
        options="string-encoding=utf16",
    ),
    "utf16-answer-at-an-odd-address": _returns(65, 2, options="string-encoding=utf16"),
    "utf16-answer-of-2-gibibytes": _returns(64, 2**31 - 1, options="string-encoding=utf16"),
    "latin1-answer-that-claims-utf16": _returns(
        64, -(2**31) | 0x7FFF_FFFF, options="string-encoding=latin1+utf16"
    ),
    "answer-record-at-an-odd-address": lifted("(i32.const 17)"),
    "answer-record-at-the-end": lifted("(i32.const 65532)"),
    "answer-record-outside": lifted("(i32.const -4)"),
    "realloc-outside": _reallocates("(i32.const -65536)"),
    "realloc-at-the-last-byte": _reallocates("(i32.const 65535)"),
    "realloc-at-the-longest-address": _reallocates("(i32.const -1)"),
    "realloc-traps": _reallocates("unreachable"),
    "realloc-loops": _reallocates("(loop $l (br $l)) unreachable"),
    "realloc-recurses": lifted(
        _ANSWERS,
        realloc='(func $r (export "realloc") (param i32 i32 i32 i32) (result i32)'
        " (call $r (local.get 0) (local.get 1) (local.get 2) (local.get 3)))",
    ),
    "utf16-realloc-at-an-odd-address": lifted(
        _ANSWERS,
        realloc='(func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 129))',
        options="string-encoding=utf16",
    ),
    "post-return-traps": _after("unreachable"),
    "post-return-loops": _after("(loop $l (br $l))"),
    "post-return-grows": _after(
        "(loop $l (drop (memory.grow (i32.const 256)))"
        " (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536))) (br $l))"
    ),
    "endless-loop": guests.LOOPS,
    "endless-loop-of-one-instruction": pure(
        "(drop (memory.grow (i32.const 900))) (loop $l (memory.fill (i32.const 0) (i32.const 0)"
        " (i32.const 58720256)) (br $l))"
    ),
    "sleeps": guests.SLEEPS_FOR_A_MINUTE,
    "floods-stdout": guests.FLOODS_STDOUT,
    "floods-stderr": guests.floods(None, stderr=True),
    "answers-100-mebibytes": guests.answers(100 * guests.MIB),
    "fails-with-100-mebibytes": guests.fails_with(100 * guests.MIB),
    "exits": guests.exits(failed=False),
    "traps": guests.TRAPS,
}  # fmt: skip
"""What runs, and is stopped or answered for by the service: never an answer."""
