"""Calling `run` of a component. Its type is checked once, when the component is loaded."""

from __future__ import annotations

from ctypes import byref
from typing import NamedTuple

from wasmtime import Store, WasmtimeError, _ffi
from wasmtime.component import Func

from subgraph.execution.component_values import put_nothing, put_text, text_of


class Result(NamedTuple):
    """What `run` returned, a `result<string, string>`; `text` is None when it is over the limit."""

    ok: bool
    text: str | None


def call_run(function: Func, store: Store, input_: str, output_limit: int) -> Result:
    """Call a function of type `func(input: string) -> result<string, string>`.

    Calling one of another type is undefined: check it before. `output_limit` is in bytes of UTF-8. Raises
    `WasmtimeError` when the function traps.
    """
    parameter, result = _ffi.wasmtime_component_val_t(), _ffi.wasmtime_component_val_t()
    put_text(parameter, input_)
    put_nothing(result)  # should the call fail
    try:
        error = _ffi.wasmtime_component_func_call(
            byref(function._func),  # noqa: SLF001 - there is no public way past the reflection
            store._context(),  # noqa: SLF001
            byref(parameter),
            1,
            byref(result),
            1,
        )
        if error:  # type: ignore[truthy-bool]  # a null pointer is false
            raise WasmtimeError._from_ptr(error)  # noqa: SLF001
        returned = result.of.result
        text = returned.val.contents.of.string
        return Result(bool(returned.is_ok), text_of(text) if text.size <= output_limit else None)
    finally:
        _ffi.wasmtime_component_val_delete(byref(parameter))
        _ffi.wasmtime_component_val_delete(byref(result))
