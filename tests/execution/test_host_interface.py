"""The functions that a component imports, answered by a service of this test's own."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from wasmtime import Store, WasmtimeError
from wasmtime.component import Component, Linker

from subgraph.execution.engine import EngineProfile, new_engine
from subgraph.execution.guest_function import Result, call_run
from subgraph.execution.host_interface import HostPort, add_host_functions
from subgraph.execution.protocol import decode, encode, receive
from tests.support.host_calls import Call, calls, host_caller
from tests.support.memory import resident_bytes

Answer = Callable[[str, list[Any]], list[object]]


class Guest:
    """A component that makes host calls, and what answers them."""

    def __init__(self) -> None:
        self._engine = new_engine(EngineProfile.OPEN, pooling=False)
        self._component = Component(self._engine, host_caller())
        self._linker = Linker(self._engine)
        self._port = HostPort()
        add_host_functions(self._linker, self._port)

    def connect(self, connection: socket.socket) -> None:
        self._port.connect(connection)

    def run(self, *made: Call) -> Result:
        store = Store(self._engine)
        store.set_epoch_deadline(10**9)
        try:
            function = self._linker.instantiate(store, self._component).get_func(store, "run")
            assert function is not None
            return call_run(function, store, json.dumps(calls(*made)), 1 << 30)
        finally:
            store.close()


@pytest.fixture(scope="module")
def guest() -> Guest:
    return Guest()


@pytest.fixture
def answered(guest: Guest) -> Iterator[Callable[[Answer], None]]:
    """Has host calls answered by a function."""
    ours, theirs = socket.socketpair()
    threads: list[Thread] = []

    def serve(answer: Answer) -> None:
        while (body := receive(ours, 1 << 30)) is not None:
            _, name, arguments = decode(body)
            ours.sendall(encode(answer(name, arguments)))

    def begin(answer: Answer) -> None:
        guest.connect(theirs)
        threads.append(Thread(target=serve, args=(answer,)))
        threads[0].start()

    yield begin
    theirs.close()
    threads[0].join()
    ours.close()


def test_each_kind_of_argument_and_answer_goes_through(
    guest: Guest, answered: Callable[[Answer], None]
) -> None:
    asked: list[tuple[str, list[Any]]] = []

    def answer(name: str, arguments: list[Any]) -> list[object]:
        asked.append((name, arguments))
        return ["ok", {"list_dir": ["một", ""], "write_file": None}.get(name, "đây")]

    answered(answer)
    result = guest.run(
        ["read_file", "á"], ["write_file", "b", ""], ["list_dir", "."], ["exec_command", "say", ["a", "ế"]]
    )
    assert result.ok
    assert asked == [
        ("read_file", ["á"]),
        ("write_file", ["b", ""]),
        ("list_dir", ["."]),
        ("exec_command", ["say", ["a", "ế"]]),
    ]
    assert json.loads(result.text or "") == [{"ok": "đây"}, {"ok": None}, {"ok": ["một", ""]}, {"ok": "đây"}]


def test_an_error_is_text_whatever_the_function_returns(
    guest: Guest, answered: Callable[[Answer], None]
) -> None:
    answered(lambda _name, _arguments: ["err", "không có"])
    result = guest.run(["read_file", "a"], ["write_file", "b", ""], ["list_dir", "."])
    assert json.loads(result.text or "") == [{"err": "không có"}] * 3


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (["read_file", "a"], 1),
        (["read_file", "a"], None),
        (["list_dir", "a"], "a"),
        (["list_dir", "a"], ["a", 1]),
        (["read_file", "a"], b"a"),
    ],
)
def test_an_answer_of_another_type_traps(
    guest: Guest, answered: Callable[[Answer], None], made: Call, wrong: object
) -> None:
    answered(lambda _name, _arguments: ["ok", wrong])
    with pytest.raises(WasmtimeError, match="the host failed: TypeError"):
        guest.run(made)


def test_a_call_before_there_is_a_service_traps() -> None:
    with pytest.raises(WasmtimeError, match="the host failed: HostUnavailable"):
        Guest().run(["read_file", "a"])


def test_nothing_is_kept_of_calls(guest: Guest, answered: Callable[[Answer], None]) -> None:
    text = "x" * 1_000_000
    answered(lambda name, _arguments: ["ok", [text] if name == "list_dir" else text])
    made: list[Call] = [["read_file", text], ["list_dir", text], ["exec_command", "say", [text]]]
    guest.run(*made)
    before = resident_bytes()
    for _ in range(60):
        guest.run(*made)
    # One argument or answer kept each time would be 60 MB, and there are six.
    assert resident_bytes() - before < 50_000_000
