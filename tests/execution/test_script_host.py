"""Host calls of scripts: how they reach whoever serves the run, and how answers come back."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from subgraph.execution.limits import ExitCode
from subgraph.execution.protocol import HostCall
from subgraph.execution.worker_process import RunEnds
from tests.execution.scripts import ECHO, Host, Scripts, scripts
from tests.support.guests import MIB
from tests.support.kernel import needs_script_confinement

pytestmark = needs_script_confinement


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with scripts(tmp_path_factory.mktemp("skills")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("expression", "call", "answer", "result"),
    [
        ("read_file('a/b.txt')", HostCall("read_file", ("a/b.txt",)), "bảng", "bảng"),
        ("write_file('a', 'text')", HostCall("write_file", ("a", "text")), None, None),
        ("list_dir('.')", HostCall("list_dir", (".",)), ["a", "b"], ["a", "b"]),
        ("fetch_url('https://a/')", HostCall("fetch_url", ("https://a/",)), "{}", "{}"),
        ("get_secret('key')", HostCall("get_secret", ("key",)), "s", "s"),
        ("read_env('LANG')", HostCall("read_env", ("LANG",)), "C", "C"),
        ("recall_memory('q')", HostCall("recall_memory", ("q", 5)), ["m"], ["m"]),
        ("recall_memory('q', limit=2)", HostCall("recall_memory", ("q", 2)), [], []),
        ("exec_command('git', ['log', '-1'])", HostCall("exec_command", ("git", ["log", "-1"])), "x", "x"),
        ("log('hello')", HostCall("log", ("hello",)), None, None),
    ],
)
def test_each_function_asks_and_gives_the_answer(
    pool: Scripts, expression: str, call: HostCall, answer: object, result: object
) -> None:
    host = Host(["ok", answer])
    reply = pool.run(f"import cyberos_host as h, json; print(json.dumps(h.{expression}))", host=host)
    assert reply.output is not None, reply
    assert json.loads(reply.output) == result
    assert host.calls == [call]


def test_several_calls_of_a_run_are_answered_in_their_order(pool: Scripts) -> None:
    answers: list[list[object]] = [["ok", str(number)] for number in range(20)]
    host = Host(*answers)
    source = "from cyberos_host import read_file; print([read_file(str(i)) for i in range(20)])"
    assert pool.run(source, host=host).output == str([str(number) for number in range(20)])
    assert [call.arguments for call in host.calls] == [(str(number),) for number in range(20)]


def test_large_texts_travel_both_ways(pool: Scripts) -> None:
    host = Host(["ok", "y" * 8 * MIB], ["ok", None])
    source = """
    from cyberos_host import read_file, write_file
    text = read_file("a")
    write_file("b", text[: 1 << 20])
    print(len(text))
    """
    assert pool.run(source, host=host).output == str(8 * MIB)
    assert host.calls[1].arguments == ("b", "y" * MIB)


def test_what_the_host_refuses_is_an_error_that_a_script_can_handle(pool: Scripts) -> None:
    source = """
    import cyberos_host
    try:
        cyberos_host.read_file("a")
    except cyberos_host.HostError as error:
        print(f"{type(error).__module__}.{type(error).__qualname__}: {error}")
    """
    assert (
        pool.run(source, host=Host(["err", "no such file"])).output == "cyberos_host.HostError: no such file"
    )


def test_a_refusal_that_a_script_does_not_handle_is_its_failure(pool: Scripts) -> None:
    reply = pool.run("import cyberos_host; cyberos_host.read_file('a')", host=Host(["err", "no such file"]))
    assert (reply.exit_code, reply.error) == (1, "HostError: no such file (scripts/main.py, line 1)")


def test_a_violation_ends_the_run_whatever_the_script_would_do_about_it(pool: Scripts) -> None:
    host = Host(RunEnds(ExitCode.VIOLATION, "CAPABILITY_DENIED", "the skill has no read_file"))
    source = """
    import cyberos_host
    try:
        cyberos_host.read_file("a")
    except BaseException:
        pass
    print("went on")
    """
    reply = pool.run(source, host=host)
    assert (reply.exit_code, reply.error_code, reply.error, reply.output) == (
        126, "CAPABILITY_DENIED", "the skill has no read_file", None,
    )  # fmt: skip
    assert pool.answer(ECHO) == "{}"


def test_a_call_where_nobody_serves_any_ends_the_worker(pool: Scripts) -> None:
    reply = pool.run("import cyberos_host; cyberos_host.log('a')")
    assert (reply.exit_code, reply.error_code) == (1, "EXECUTION_FAILED")


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("read_file(1)", "TypeError: path must be a str, not int"),
        ("write_file('a', b'')", "TypeError: content must be a str, not bytes"),
        ("exec_command('git', [1])", "TypeError: argument must be a str, not int"),
        ("log('\\ud800')", "UnicodeEncodeError: 'utf-8' codec can't encode character"),
        ("recall_memory('q', limit='many')", "ValueError: invalid literal for int()"),
    ],
)
def test_what_is_no_argument_is_not_sent(pool: Scripts, expression: str, error: str) -> None:
    host = Host()
    reply = pool.run(f"import cyberos_host; cyberos_host.{expression}", host=host)
    assert reply.error is not None
    assert reply.error.startswith(error)
    assert host.calls == []


def test_an_exception_of_the_host_is_the_callers_and_ends_the_worker(pool: Scripts) -> None:
    with pytest.raises(RuntimeError, match="broken"):
        pool.run("import cyberos_host; cyberos_host.log('a')", host=Host(RuntimeError("broken")))
    assert pool.answer(ECHO) == "{}"
    assert len(pool.pool._workers) == 0


def test_a_shared_interpreter_makes_host_calls_too(pool: Scripts) -> None:
    script = pool.write("import cyberos_host; print(cyberos_host.read_file('a'))", shared=True)
    for number in range(3):
        assert pool.run(script, host=Host(["ok", str(number)])).output == str(number)
