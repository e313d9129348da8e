"""Functions that a component imports, called without asking for their types; see `component_values`."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import CFUNCTYPE, c_void_p, cast, create_string_buffer
from typing import TypeAlias

from wasmtime import WasmtimeError, _ffi
from wasmtime.component import LinkerInstance

from subgraph.execution.component_values import Value, Values

HostFunction: TypeAlias = "Callable[[Values, Value], None]"
"""Takes its arguments out of C's values, and puts its result into another."""

# For as long as the process runs, as linkers do. What C knows of a function is its place in here.
_functions: list[HostFunction] = []


def add_function(instance: LinkerInstance, name: str, function: HostFunction) -> None:
    """Offer a function to components, which must want it with the type that it has.

    Whatever it raises traps the component.
    """
    _functions.append(function)
    encoded = name.encode()
    error = _ffi.wasmtime_component_linker_instance_add_func(
        instance.ptr(), create_string_buffer(encoded), len(encoded), _called, len(_functions) - 1, _kept
    )
    if error:  # type: ignore[truthy-bool]  # a null pointer is false
        raise WasmtimeError._from_ptr(error)  # noqa: SLF001 - as wasmtime-py does


@_ffi.wasmtime_component_func_callback_t
def _called(place, _context, _type, arguments, _count, results, _result_count):  # type: ignore[no-untyped-def]
    try:
        _functions[place or 0](arguments, results[0])
    except Exception as failure:  # noqa: BLE001 - C knows no exceptions
        error = WasmtimeError(f"the host failed: {type(failure).__name__}")
        return cast(error._consume(), c_void_p).value  # noqa: SLF001
    return 0


@CFUNCTYPE(None, c_void_p)  # type: ignore[untyped-decorator]
def _kept(_place: object) -> None:
    pass
