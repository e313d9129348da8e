"""Guest components, harmless and hostile, written by hand: no toolchain is needed to build them.

A constant or function here is named for what its guest does; each is the text of a component, which
`binary` turns into bytes.
"""

from __future__ import annotations

import wasmtime

PAGE = 65_536
"""Bytes of a page of WebAssembly memory."""

MIB = 1024 * 1024


def binary(text: str) -> bytes:
    """Assemble a component, or a core module."""
    return bytes(wasmtime.wat2wasm(text))


_RUN_TYPE = '(param "input" string) (result (result string (error string)))'

# A heap that never frees. It lies above what a body may use as it likes (bytes 64 to 1023).
_REALLOC = """
  (global $heap (mut i32) (i32.const 1024))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
    (local.set 4 (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (local.get 3)))
    (drop (memory.grow (i32.add (i32.shr_u (local.get 3) (i32.const 16)) (i32.const 1))))
    (local.get 4))
"""

_ANSWER = """
    (i32.store8 (i32.const 16) (local.get $failed))
    (i32.store (i32.const 20) (local.get $at)) (i32.store (i32.const 24) (local.get $length))
    (i32.const 16)
"""

_RUN = (
    '(func (export "run") (param $at i32) (param $length i32) (result i32)'
    " (local $failed i32) (local $i i32) {body}" + _ANSWER + ")"
)


def pure(body: str = "", *, declarations: str = "", pages: int = 1) -> str:
    """A component without imports.

    Before `body` runs, `$at` and `$length` are the input; after it they are the output, which is an
    error when `$failed` is 1. `$i` is free to use.
    """
    return f"""
    (component
     (core module $m
      (memory (export "memory") {pages})
      {_REALLOC} {declarations} {_RUN.format(body=body)})
     (core instance $i (instantiate $m))
     (func (export "run") {_RUN_TYPE}
      (canon lift (core func $i "run") (memory (core memory $i "memory"))
       (realloc (core func $i "realloc")))))
    """


def _output_at(length: int, byte: int) -> str:
    return f"""
    (drop (memory.grow (i32.const {length // PAGE + 1})))
    (local.set $at (i32.const 1024)) (local.set $length (i32.const {length}))
    (memory.fill (local.get $at) (i32.const {byte}) (local.get $length))
    """


def answers(length: int) -> str:
    """Answers with that many letters."""
    return pure(_output_at(length, ord("x")))


def fails_with(length: int) -> str:
    """Answers with an error of that many letters."""
    return pure(_output_at(length, ord("x")) + "(local.set $failed (i32.const 1))")


def grows(size: int) -> str:
    """Grows its memory by that many bytes, touches none of them, and echoes, whatever came of it."""
    return pure(f"(drop (memory.grow (i32.const {size // PAGE})))")


def fills(pages: int) -> str:
    """Fills that many pages with one instruction, in which no interrupt reaches it."""
    return pure(
        f"(drop (memory.grow (i32.const {pages})))"
        f"(memory.fill (i32.const 8192) (i32.const 1) (i32.const {(pages - 1) * PAGE}))"
    )


def dirties(pages: int) -> str:
    """Answers with an error if a word of its memory is not zero, and leaves none that is."""
    return pure(
        f"""
        (drop (memory.grow (i32.const {pages})))
        (local.set $at (i32.const 8192))
        (loop $next
          (if (i32.load (local.get $at)) (then (local.set $failed (i32.const 1))))
          (i32.store (local.get $at) (i32.const -1))
          (local.set $at (i32.add (local.get $at) (i32.const 4)))
          (br_if $next (i32.lt_u (local.get $at) (i32.const {pages * PAGE}))))
        (local.set $at (i32.const 0)) (local.set $length (i32.const 0))"""
    )


ECHO = pure()
FAILS = pure("(local.set $failed (i32.const 1))")
LOOPS = pure("(loop $again (br $again))")
TRAPS = pure("unreachable")
RECURSES = pure("(call $deeper)", declarations="(func $deeper (call $deeper))")
GROWS_BY_A_GIBIBYTE = grows(1024 * MIB)
TRAPS_WHEN_IT_CANNOT_GROW = pure(
    "(if (i32.eq (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable)) (loop $l (br $l))"
)
TOUCHES_MORE_AND_MORE = pure(
    f"""
    (loop $again
     (local.set $i (memory.grow (i32.const 1)))
     (if (i32.ne (local.get $i) (i32.const -1))
      (then (i32.store (i32.mul (local.get $i) (i32.const {PAGE})) (i32.const 1))))
     (br $again))
    """
)
GROWS_A_TABLE = pure(
    "(loop $again (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $again))",
    declarations="(table $t 1 funcref)",
)
GROWS_A_TABLE_AT_ONCE = pure(
    "(drop (table.grow $t (ref.null func) (i32.const 100000000)))", declarations="(table $t 1 funcref)"
)
STARTS_WITH_256_MIB = pure(pages=4096)
ANSWERS_WITH_INVALID_UTF8 = pure(_output_at(4, 0xFF))
ANSWERS_FROM_OUTSIDE_ITS_MEMORY = pure("(local.set $at (i32.const -8)) (local.set $length (i32.const 64))")
COUNTS_ITS_CALLS = pure(
    """
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store8 (i32.const 64) (i32.add (i32.load8_u (i32.const 64)) (i32.const 1)))
    (i32.store8 (i32.const 65) (i32.add (global.get $calls) (i32.const 48)))
    (local.set $at (i32.const 64)) (local.set $length (i32.const 2))
    """,
    declarations='(global $calls (mut i32) (i32.const 0)) (data (i32.const 64) "0")',
)
"""Answers `11` in a fresh store: one count lies in memory, the other in a global."""

LOOPS_BEFORE_IT_RUNS = pure(
    declarations="(func $start (loop $again (br $again))) (start $start)",
)


def with_wasi(body: str, *, imports: str, lowered: str, core_imports: str) -> str:
    """A component with WASI imports; the memory is a module of its own, since the imports need it."""
    return f"""
    (component
     {imports}
     (core module $memory (memory (export "memory") 1) {_REALLOC})
     (core instance $memory (instantiate $memory))
     {lowered}
     (core module $m
      {core_imports}
      (import "memory" "memory" (memory 1))
      {_RUN.format(body=body)})
     (core instance $i (instantiate $m (with "host" (instance $host)) (with "memory" (instance $memory))))
     (func (export "run") {_RUN_TYPE}
      (canon lift (core func $i "run") (memory (core memory $memory "memory"))
       (realloc (core func $memory "realloc")))))
    """


def sleeps(seconds: float, *, then: str = "") -> str:
    """Blocks in a WASI call, in which nothing interrupts it, does `then`, and echoes."""
    return with_wasi(
        f"(call $block (call $subscribe (i64.const {round(seconds * 1_000_000_000)}))) {then}",
        imports="""
        (import "wasi:io/poll@0.2.0" (instance $poll
         (export "pollable" (type $p (sub resource)))
         (export "[method]pollable.block" (func (param "self" (borrow $p))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
         (alias outer 1 $pollable (type $outer))
         (export "pollable" (type $p (eq $outer)))
         (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        """,
        lowered="""
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core instance $host (export "block" (func $block)) (export "subscribe" (func $subscribe)))
        """,
        core_imports="""
        (import "host" "block" (func $block (param i32)))
        (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
        """,
    )


SLEEPS_FOR_A_MINUTE = sleeps(60)


def _prints(body: str) -> str:
    return with_wasi(
        body,
        imports="""
        (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
        (alias export $error "error" (type $error))
        (import "wasi:io/streams@0.2.0" (instance $streams
         (alias outer 1 $error (type $outer))
         (export "error" (type $e (eq $outer)))
         (export "output-stream" (type $o (sub resource)))
         (type $failure (variant (case "last-operation-failed" (own $e)) (case "closed")))
         (export "stream-error" (type $stream-error (eq $failure)))
         (export "[method]output-stream.blocking-write-and-flush"
          (func (param "self" (borrow $o)) (param "contents" (list u8))
           (result (result (error $stream-error)))))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
         (alias outer 1 $stream (type $outer))
         (export "output-stream" (type $o (eq $outer)))
         (export "get-stdout" (func (result (own $o))))))
        (import "wasi:cli/stderr@0.2.0" (instance $stderr
         (alias outer 1 $stream (type $outer))
         (export "output-stream" (type $o (eq $outer)))
         (export "get-stderr" (func (result (own $o))))))
        """,
        lowered="""
        (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
         (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
        (core func $stdout (canon lower (func $stdout "get-stdout")))
        (core func $stderr (canon lower (func $stderr "get-stderr")))
        (core instance $host
         (export "write" (func $write)) (export "stdout" (func $stdout)) (export "stderr" (func $stderr)))
        """,
        core_imports="""
        (import "host" "write" (func $write (param i32 i32 i32 i32)))
        (import "host" "stdout" (func $stdout (result i32)))
        (import "host" "stderr" (func $stderr (result i32)))
        """,
    )


PRINTS_ITS_INPUT = _prints(
    """
    (call $write (call $stdout) (local.get $at) (local.get $length) (i32.const 64))
    (call $write (call $stderr) (local.get $at) (local.get $length) (i32.const 64))
    """
)
"""Writes its input, of up to 4096 bytes, to stdout and to stderr, and echoes."""

_CHUNK = 4096


def floods(size: int | None, *, byte: int = ord("x"), stderr: bool = False) -> str:
    """Writes that many bytes (a multiple of 4096) to stdout, or without end; also to stderr if told."""
    until = "" if size is None else f"(br_if $done (i32.eq (local.get $i) (i32.const {size // _CHUNK})))"
    arguments = f"(i32.const 8192) (i32.const {_CHUNK}) (i32.const 64)"
    also = f"(call $write (local.get $failed) {arguments})" if stderr else ""
    return _prints(
        f"""
        (memory.fill (i32.const 8192) (i32.const {byte}) (i32.const {_CHUNK}))
        (local.set $length (call $stdout))
        (local.set $failed (call $stderr))
        (block $done (loop $again
         {until}
         (call $write (local.get $length) {arguments}) {also}
         (local.set $i (i32.add (local.get $i) (i32.const 1)))
         (br $again)))
        (local.set $length (i32.const 0)) (local.set $failed (i32.const 0))
        """
    )


FLOODS_STDOUT = floods(None)


def exits(*, failed: bool) -> str:
    """Exits by WASI instead of answering."""
    return with_wasi(
        f"(call $exit (i32.const {int(failed)}))",
        imports="""
        (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
        """,
        lowered="""
        (core func $exit (canon lower (func $exit "exit")))
        (core instance $host (export "exit" (func $exit)))
        """,
        core_imports='(import "host" "exit" (func $exit (param i32)))',
    )


IMPORTS_A_HOST = """
(component
 (import "cyberos:elsewhere/host@0.1.0" (instance $host (export "read-file" (func))))
 (core module $m (func (export "run")))
 (core instance $i (instantiate $m))
 (func (export "run") (canon lift (core func $i "run"))))
"""
IMPORTS_AN_UNKNOWN_WASI = """
(component
 (import "wasi:nothing/nothing@0.2.0" (instance $nothing (export "nothing" (func))))
""" + pure().partition("(component")[2]
EXPORTS_ANOTHER_RUN = """
(component
 (core module $m (func (export "run") (param i32) (result i32) (local.get 0)))
 (core instance $i (instantiate $m))
 (func (export "run") (param "input" u32) (result u32) (canon lift (core func $i "run"))))
"""
EXPORTS_NO_RUN = pure().replace('(func (export "run") (param "input"', '(func (export "walk") (param "input"')
CORE_MODULE = '(module (func (export "run")))'
GARBAGE = b"\0asm\x0d\x00\x01\x00" + b"garbage"
