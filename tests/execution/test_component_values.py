"""Texts on their way to C and back: the same, freed once, and nothing kept of them."""

from __future__ import annotations

from ctypes import byref
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import _ffi

from subgraph.execution.component_values import (
    Value,
    put_nothing,
    put_result,
    put_text,
    put_texts,
    taken_number,
    taken_text,
    taken_texts,
    text_of,
)
from tests.support.memory import resident_bytes

HALF_OF_A_PAIR = "\ud800"
TEXTS = st.text(st.characters(codec="utf-8"))


@given(text=TEXTS)
def test_a_text_comes_back(text: str) -> None:
    value = Value()
    put_text(value, text)
    assert value.kind == _ffi.WASMTIME_COMPONENT_STRING.value
    assert taken_text(value) == text


@given(texts=st.lists(TEXTS))
def test_texts_come_back(texts: list[str]) -> None:
    value = Value()
    put_texts(value, texts)
    assert value.kind == _ffi.WASMTIME_COMPONENT_LIST.value
    assert taken_texts(value) == texts


@pytest.mark.parametrize("value", [0, 1, 2**32 - 1])
def test_a_number_is_read(value: int) -> None:
    held = Value()
    held.kind = _ffi.WASMTIME_COMPONENT_U32
    held.of.u32 = value
    assert taken_number(held) == value


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("text", ["", "một"])
def test_a_result_holds_what_was_put_into_it(ok: bool, text: str) -> None:
    value = Value()
    put_result(value, partial(put_text, text=text), ok=ok)
    assert value.kind == _ffi.WASMTIME_COMPONENT_RESULT.value
    assert value.of.result.is_ok is ok
    assert text_of(value.of.result.val.contents.of.string) == text
    _ffi.wasmtime_component_val_delete(byref(value))


def test_a_result_may_hold_nothing() -> None:
    value = Value()
    put_result(value, None, ok=True)
    assert value.of.result.is_ok is True
    assert not value.of.result.val


def test_half_of_a_surrogate_pair_leaves_the_value_as_it_was() -> None:
    value = Value()
    put_nothing(value)
    with pytest.raises(UnicodeEncodeError):
        put_text(value, HALF_OF_A_PAIR)
    with pytest.raises(UnicodeEncodeError):
        put_texts(value, ["whole", HALF_OF_A_PAIR, "never reached"])
    with pytest.raises(UnicodeEncodeError):
        put_result(value, partial(put_text, text=HALF_OF_A_PAIR), ok=True)
    assert value.kind == _ffi.WASMTIME_COMPONENT_BOOL.value


def test_what_is_taken_is_freed() -> None:
    text, times = "x" * 1_000_000, 300
    before = resident_bytes()
    for _ in range(times):
        one, many = Value(), Value()
        put_text(one, text)
        put_texts(many, [text])
        assert len(taken_text(one)) == len(taken_texts(many)[0]) == len(text)
        with pytest.raises(UnicodeEncodeError):
            put_texts(many, [text, HALF_OF_A_PAIR])
    # One of the three kept each time would be 300 MB.
    assert resident_bytes() - before < 100_000_000


def test_what_is_taken_leaves_nothing_to_free_again() -> None:
    for _ in range(1000):
        one, many = Value(), Value()
        put_text(one, "x" * 100)
        put_texts(many, ["x" * 100])
        taken_text(one)
        taken_texts(many)
        _ffi.wasmtime_component_val_delete(byref(one))
        _ffi.wasmtime_component_val_delete(byref(many))
