"""A model behind a real HTTP server that behaves well and badly: how each consultation ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from subgraph.cascade import breaker as circuit
from subgraph.cascade.gateway import Gateway, GatewaySettings
from subgraph.cascade.transport import ANSWER_BYTES
from subgraph.routing import Consultation, ConsultationOutcome, Prompt
from subgraph.routing.consultation import ANSWER_LIMIT
from subgraph.settings import Settings
from tests.support.model_gateway import (
    COST,
    KEY,
    Asked,
    Behaviour,
    ModelGateway,
    Reply,
    completion,
    in_turn,
    model_gateway,
    pick,
    picking,
    refusing,
    saying,
)
from tests.support.postgres import until
from tests.support.skills import Loop, event_loop

ROOT = Path(__file__).parents[2]
SKILLS = ("a/one", "b/two")
PROMPT = Prompt("Say which.", '<<<REQUEST\n"what"\nREQUEST>>>', SKILLS)

ANSWERED, TIMEOUT = ConsultationOutcome.ANSWERED, ConsultationOutcome.TIMEOUT
LIMITED, REFUSED = ConsultationOutcome.RATE_LIMITED, ConsultationOutcome.GATEWAY_REFUSED
BROKEN, BAD = ConsultationOutcome.GATEWAY_ERROR, ConsultationOutcome.BAD_ANSWER
UNKNOWN, OPEN = ConsultationOutcome.UNKNOWN_SKILL, ConsultationOutcome.CIRCUIT_OPEN

CUT = Reply(cut=True)
LATE = Reply(wait=30.0, body=b"{}")


def settings(url: str, *, timeout: float = 10.0, retries: int = 1) -> GatewaySettings:
    return GatewaySettings(url, "test-model", KEY, timeout, 0.0, 7, retries)


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with event_loop() as loop:
        yield loop


@pytest.fixture
def server() -> Iterator[ModelGateway]:
    with model_gateway(picking("a/one")) as server:
        yield server


def consult(loop: Loop, settings: GatewaySettings, times: int = 1) -> list[Consultation]:
    async def work() -> list[Consultation]:
        async with Gateway(settings) as gateway:
            return [await gateway.consult(PROMPT) for _ in range(times)]

    return loop.run(work())


def test_what_is_sent_is_what_is_recorded(loop: Loop, server: ModelGateway) -> None:
    (found,) = consult(loop, settings(server.url))
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["messages"] == PROMPT.messages
    assert json.loads(found.prompt)["messages"] == PROMPT.messages
    assert (asked.body["model"], asked.body["temperature"], asked.body["seed"]) == ("test-model", 0.0, 7)
    assert asked.body["max_tokens"] > 0
    schema = asked.body["response_format"]["json_schema"]
    assert (schema["strict"], schema["schema"]) == (True, PROMPT.schema)
    assert "user" not in asked.body
    assert found.answer == pick("a/one").encode()
    assert found.outcome is ANSWERED
    assert (found.pick, found.confidence_percent, found.attempts) == ("a/one", 90, 1)
    assert (found.model, found.temperature, found.seed) == ("test-model", "0.0", 7)
    assert (found.tokens_in, found.tokens_out, found.cost) == (1200, 40, COST)
    assert found.elapsed_us > 0


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (picking(None), ANSWERED),
        (picking("c/three"), UNKNOWN),
        (saying("not JSON"), BAD),
        (saying(f"Sure! {pick('a/one')}"), BAD),
        (saying(f"```json\n{pick('a/one')}\n```"), BAD),
        (saying(pick("a/one", 1.5)), BAD),
        (saying('{"pick": "a/one", "confidence": NaN, "reason": ""}'), BAD),
        (saying('{"pick": "a/one", "confidence": "high", "reason": ""}'), BAD),
        (saying(pick("a/one", reason="x" * ANSWER_LIMIT)), BAD),
        (saying(""), BAD),
        (lambda _: completion(pick("a/one")[:-1], "length"), BAD),
        (lambda _: completion(pick("a/one"), "content_filter"), BAD),
        (lambda _: Reply(body=b'{"choices": []}'), None),
        (lambda _: Reply(body=b"{}"), None),
        (lambda _: Reply(body=b'"text"'), None),
        (lambda _: Reply(body=b"<html>"), None),
        (lambda _: Reply(body=b""), None),
        (lambda _: Reply(body=b"\xff\xfe{"), None),
        (lambda _: Reply(body=b'{"choices": ' + b"[" * 9000), None),
        (lambda _: Reply(204), None),
        (refusing(500), BROKEN),
        (refusing(503), BROKEN),
        (refusing(429), LIMITED),
        (refusing(400), REFUSED),
        (refusing(401), REFUSED),
        (refusing(403), REFUSED),
        (refusing(404), REFUSED),
        (refusing(422), REFUSED),
        (lambda _: CUT, BROKEN),
        (lambda _: Reply(body=b" " * (ANSWER_BYTES + 1)), BROKEN),
        (lambda _: Reply(headers={"content-encoding": "gzip"}, body=gzip.compress(b"{}")), BROKEN),
        (lambda _: Reply(302, headers={"location": "http://127.0.0.1:9/v1/chat/completions"}), None),
    ],
)  # fmt: skip
def test_whatever_a_gateway_does_is_an_outcome(
    loop: Loop, server: ModelGateway, behaviour: Behaviour, outcome: ConsultationOutcome | None
) -> None:
    server.behaviour = behaviour
    (found,) = consult(loop, settings(server.url, retries=0))
    if outcome is None:
        # Bodies of no known form: LiteLLM refuses some and fills others up. None is an answer.
        assert found.outcome in (BROKEN, BAD, REFUSED)
    else:
        assert found.outcome is outcome
    assert (found.pick, found.confidence_percent) == (None, 90 if found.answered else None)
    assert found.attempts == 1
    assert len(server.asked) == 1
    assert len(found.answer) <= ANSWER_LIMIT * 4


@pytest.mark.parametrize(
    ("usage", "counted"),
    [({"prompt_tokens": -5, "completion_tokens": 2**60, "total_tokens": 1}, (None, None)), (None, None)],
)
def test_what_a_gateway_counts_is_believed_within_reason(
    loop: Loop, server: ModelGateway, usage: object, counted: object
) -> None:
    body = json.loads(completion(pick("a/one")).body) | {"usage": usage}
    server.behaviour = lambda _: Reply(
        body=json.dumps(body).encode(), headers={"x-litellm-response-cost": "1e400"}
    )
    (found,) = consult(loop, settings(server.url))
    assert found.cost is None
    if counted is not None:
        assert (found.tokens_in, found.tokens_out) == counted


def test_a_gateway_that_is_not_there_is_an_outcome(loop: Loop) -> None:
    with model_gateway() as server:
        url = server.url
    (found,) = consult(loop, settings(url, retries=0))
    assert found.outcome is BROKEN


def test_what_passes_is_tried_again(loop: Loop, server: ModelGateway) -> None:
    server.behaviour = in_turn(refusing(500), lambda _: CUT, picking("b/two"))
    (found,) = consult(loop, settings(server.url, retries=2))
    assert (found.outcome, found.pick, found.attempts, len(server.asked)) == (ANSWERED, "b/two", 3, 3)


def test_no_more_often_than_is_set(loop: Loop, server: ModelGateway) -> None:
    server.behaviour = refusing(503)
    (found,) = consult(loop, settings(server.url, retries=2))
    assert (found.outcome, found.attempts, len(server.asked)) == (BROKEN, 3, 3)


@pytest.mark.parametrize("behaviour", [refusing(401), saying("no"), picking("c/three")])
def test_what_does_not_pass_is_not_tried_again(
    loop: Loop, server: ModelGateway, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    (found,) = consult(loop, settings(server.url, retries=3))
    assert (found.attempts, len(server.asked)) == (1, 1)


def test_a_gateway_that_is_slow_is_left_within_the_time_that_is_set(loop: Loop, server: ModelGateway) -> None:
    server.behaviour = lambda _: LATE
    (found,) = consult(loop, settings(server.url, timeout=0.2, retries=5))
    assert (found.outcome, found.pick, found.tokens_in, found.cost) == (TIMEOUT, None, None, None)
    assert 200_000 <= found.elapsed_us < 10_000_000


def test_a_gateway_that_asks_for_a_pause_gets_it(loop: Loop, server: ModelGateway) -> None:
    server.behaviour = in_turn(refusing(429, retry_after="0.3"), picking("a/one"))
    (found,) = consult(loop, settings(server.url))
    assert (found.outcome, found.attempts) == (ANSWERED, 2)
    assert found.elapsed_us >= 300_000


@pytest.mark.parametrize("pause", ["3600", "10.5"])
def test_a_pause_that_is_too_long_is_not_waited_for(loop: Loop, server: ModelGateway, pause: str) -> None:
    server.behaviour = in_turn(refusing(429, retry_after=pause), picking("a/one"))
    (found,) = consult(loop, settings(server.url))
    assert (found.outcome, found.attempts) == (LIMITED, 1)
    assert found.elapsed_us < 10_000_000


@pytest.mark.parametrize("pause", ["soon", "-1", "1e9", "", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_a_pause_that_is_no_number_is_as_none(loop: Loop, server: ModelGateway, pause: str) -> None:
    server.behaviour = in_turn(refusing(429, retry_after=pause), picking("a/one"))
    (found,) = consult(loop, settings(server.url))
    assert (found.outcome, found.attempts) == (ANSWERED, 2)


@pytest.mark.parametrize("behaviour", [refusing(500), refusing(429), refusing(401), lambda _: CUT])
def test_a_gateway_that_fails_again_and_again_is_left_alone(
    loop: Loop, server: ModelGateway, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    times = circuit.FAILURES_LIMIT + 2
    found = consult(loop, settings(server.url, retries=0), times)
    assert [each.outcome for each in found[-2:]] == [OPEN, OPEN]
    assert (found[-1].attempts, found[-1].elapsed_us) == (0, 0)
    assert len(server.asked) == circuit.FAILURES_LIMIT


def test_a_gateway_that_recovers_is_asked_again(
    loop: Loop, server: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> list[ConsultationOutcome]:
        server.behaviour = refusing(500)
        async with Gateway(settings(server.url, retries=0)) as gateway:
            for _ in range(circuit.FAILURES_LIMIT):
                await gateway.consult(PROMPT)
            before = await gateway.consult(PROMPT)
            server.behaviour = picking("a/one")
            monkeypatch.setattr(circuit, "OPEN_SECONDS", 0.0)
            return [before.outcome, *[(await gateway.consult(PROMPT)).outcome for _ in range(2)]]

    assert loop.run(work()) == [OPEN, ANSWERED, ANSWERED]


@pytest.mark.parametrize(
    "behaviour", [saying("nonsense"), picking("c/three"), refusing(400), refusing(413), refusing(422)]
)
def test_nonsense_that_a_query_may_have_provoked_cuts_nobody_off(
    loop: Loop, server: ModelGateway, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    found = consult(loop, settings(server.url), circuit.FAILURES_LIMIT + 2)
    assert {each.attempts for each in found} == {1}


def test_many_queries_at_once_cut_nobody_off(loop: Loop, server: ModelGateway) -> None:
    async def work() -> tuple[list[Consultation], Consultation]:
        server.behaviour = lambda _: Reply(wait=0.2, body=completion(pick("a/one")).body)
        async with Gateway(settings(server.url, timeout=0.35)) as gateway:
            gateway._turns = asyncio.Semaphore(1)
            many = await asyncio.gather(*(gateway.consult(PROMPT) for _ in range(circuit.FAILURES_LIMIT + 5)))
            server.behaviour = picking("b/two")
            gateway._settings = settings(server.url)
            return many, await gateway.consult(PROMPT)

    many, after = loop.run(work())
    late = [each for each in many if not each.attempts]
    assert len(late) >= circuit.FAILURES_LIMIT
    assert {each.outcome for each in late} == {TIMEOUT}
    assert (after.outcome, after.pick) == (ANSWERED, "b/two")


def test_what_a_gateway_says_of_an_error_is_not_read(loop: Loop, server: ModelGateway) -> None:
    message = json.dumps({"error": {"message": "a" * (4 * ANSWER_BYTES)}}).encode()
    server.behaviour = in_turn(
        lambda _: Reply(401, message),
        lambda _: Reply(429, message, {"retry-after": "3600"}),
        lambda _: Reply(500, message),
    )
    found = consult(loop, settings(server.url, retries=0), 3)
    assert [each.outcome for each in found] == [REFUSED, LIMITED, BROKEN]


def test_whoever_goes_away_leaves_nothing_behind(loop: Loop, server: ModelGateway) -> None:
    async def work() -> Consultation:
        server.behaviour = in_turn(lambda _: LATE, picking("a/one"))
        async with Gateway(settings(server.url)) as gateway:
            asking = asyncio.create_task(gateway.consult(PROMPT))
            await until(lambda: bool(server.asked))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            return await gateway.consult(PROMPT)

    assert loop.run(work()).outcome is ANSWERED


@pytest.mark.parametrize("behaviour", [picking("a/one"), refusing(401), refusing(500), lambda _: CUT])
def test_the_key_is_in_no_log_message_or_value(
    loop: Loop, server: ModelGateway, behaviour: Behaviour, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    server.behaviour = behaviour
    caplog.set_level(logging.DEBUG)
    found = consult(loop, settings(server.url))
    written = capfd.readouterr()
    texts = [caplog.text, written.out, written.err, repr(found), str(found[0].as_data()), repr(settings("u"))]
    assert not any(KEY in text or "Say which." in text for text in texts)
    assert KEY.encode() not in found[0].prompt + found[0].answer


def test_nothing_of_the_environment_is_sent_or_asked(
    loop: Loop, server: ModelGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9", "OPENAI_API_KEY": "sk-of-another", "OPENAI_ORG_ID": "org-secret",
        "OPENAI_BASE_URL": "http://127.0.0.1:9", "OPENAI_API_BASE": "http://127.0.0.1:9",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    (found,) = consult(loop, settings(server.url))
    assert found.outcome is ANSWERED
    (asked,) = server.asked
    assert "sk-of-another" not in str(asked)
    assert "org-secret" not in str(asked)
    assert not any(name.startswith(("x-", "openai-")) for name in asked.headers)


def test_a_gateway_is_all_that_is_set_or_none() -> None:
    assert GatewaySettings.of(Settings()) is None
    found = GatewaySettings.of(
        Settings(llm_url="https://gateway.example/v1", llm_model="m", llm_timeout_ms=1500)
    )
    assert found is not None
    assert (found.timeout_seconds, found.key) == (1.5, "none")
    keyed = Settings(llm_url="https://gateway.example/v1", llm_model="m", llm_api_key=SecretStr(KEY))
    assert KEY not in repr(keyed)


def test_without_the_extra_a_gateway_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subgraph.cascade.gateway._MODULES", ("litellm", "no_such.module"))
    with pytest.raises(ValueError, match=r"CYBEROS_LLM_URL needs the extra `llm`: pip install"):
        GatewaySettings.of(Settings(llm_url="https://gateway.example/v1", llm_model="m"))


def test_without_a_gateway_nothing_of_it_is_loaded() -> None:
    program = (
        "import sys, subgraph.__main__; from subgraph.service import Service;"
        "print([name for name in ('litellm', 'langgraph', 'psycopg', 'openai') if name in sys.modules])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CYBEROS_")}
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "[]\n"


def test_the_test_gateway_finds_the_query() -> None:
    body = {"messages": PROMPT.messages, "response_format": {"json_schema": {"schema": PROMPT.schema}}}
    asked = Asked("/", {}, body)
    assert (asked.query, asked.candidates) == ("what", list(SKILLS))


WATCHED = """
import asyncio, sys
from subgraph.cascade.gateway import Gateway, GatewaySettings
from subgraph.routing import Prompt

places = set()

def watch(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        places.add(args[1][:2])
    elif event == "socket.getaddrinfo":
        places.add((args[0], args[1]))

sys.addaudithook(watch)

async def main():
    settings = GatewaySettings(sys.argv[1], sys.argv[2], "key", 10.0, 0.0, 7, 0)
    async with Gateway(settings) as gateway:
        found = await gateway.consult(Prompt("Say which.", "what", ("a/one",)))
    print(found.outcome.value, sorted((str(host), int(port)) for host, port in places))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("gpt-4o", {}),
        ("responses/gpt-4o", {}),
        ("gpt-4o", {"LITELLM_ROUTE_ALL_CHAT_OPENAI_TO_RESPONSES": "true"}),
        ("gpt-4o", {"USE_LITELLM_PROXY": "true", "LITELLM_PROXY_API_BASE": "http://127.0.0.1:9"}),
    ],
)
def test_nobody_but_the_gateway_is_spoken_to(server: ModelGateway, model: str, told: dict[str, str]) -> None:
    """Neither for a list of prices, nor to report what was asked; the model is one of the list.

    Nor by another API than the one that is documented, for which LiteLLM has a client of its own.
    """
    environment = {**os.environ, "LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "ls-none", **told}
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, server.url, model],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    assert ended.stdout == f"answered [('127.0.0.1', {port})]\n"
    assert {asked.path for asked in server.asked} == {"/v1/chat/completions"}
