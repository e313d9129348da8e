"""Values of the component model in C, without asking for their types.

wasmtime-py reflects the types of a function on every call, and makes a type of ctypes for each length of a
text: that is half of the time of a small call. The types of what is called here are checked once, when a
component is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref, memmove, string_at
from typing import TYPE_CHECKING, TypeAlias

from wasmtime import _ffi

if TYPE_CHECKING:
    from ctypes import _Pointer

Value: TypeAlias = _ffi.wasmtime_component_val_t
Values: TypeAlias = "_Pointer[Value]"


def put_text(value: Value, text: str) -> None:
    """Make a value of C a string. Raises `UnicodeEncodeError` for half of a surrogate pair."""
    data = text.encode()
    held = _ffi.wasm_byte_vec_t()
    _ffi.wasm_byte_vec_new_uninitialized(byref(held), len(data))
    memmove(held.data, data, len(data))
    value.kind = _ffi.WASMTIME_COMPONENT_STRING
    value.of.string = held


def put_texts(value: Value, texts: list[str]) -> None:
    """Make a value of C a list of strings. Raises as `put_text`, and then the value is what it was."""
    held = _ffi.wasmtime_component_vallist_t()
    _ffi.wasmtime_component_vallist_new_uninit(byref(held), len(texts))
    put = 0
    try:
        for text in texts:
            put_text(held.data[put], text)
            put += 1
    except UnicodeEncodeError:
        for rest in range(put, len(texts)):
            put_nothing(held.data[rest])
        _ffi.wasmtime_component_vallist_delete(byref(held))
        raise
    value.kind = _ffi.WASMTIME_COMPONENT_LIST
    value.of.list = held


def put_result(
    value: Value,
    put: Callable[[Value], None] | None,
    *,
    ok: bool,
) -> None:
    """Make a value of C a result, with what `put` puts into it; None for one that holds nothing."""
    payload = None
    if put is not None:
        held = _ffi.wasmtime_component_val_t()
        put(held)
        payload = _ffi.wasmtime_component_val_new(byref(held))
    value.kind = _ffi.WASMTIME_COMPONENT_RESULT
    value.of.result.is_ok = ok
    value.of.result.val = payload


def put_nothing(value: Value) -> None:
    """Make a value of C one that needs no freeing."""
    value.kind = _ffi.WASMTIME_COMPONENT_BOOL
    value.of.boolean = False


def text_of(held: _ffi.wasm_byte_vec_t) -> str:
    """Return the text of C's bytes."""
    return string_at(held.data, held.size).decode()


def taken_text(value: Value) -> str:
    """Return the text of a string, and free it."""
    try:
        return text_of(value.of.string)
    finally:
        _ffi.wasm_byte_vec_delete(byref(value.of.string))


def taken_texts(value: Value) -> list[str]:
    """Return the texts of a list of strings, and free it."""
    held = value.of.list
    try:
        return [text_of(held.data[at].of.string) for at in range(held.size)]
    finally:
        _ffi.wasmtime_component_vallist_delete(byref(held))


def taken_number(value: Value) -> int:
    """Return the number of a `u32`."""
    return int(value.of.u32)
