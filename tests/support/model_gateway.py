"""A gateway to a model, of this process: it speaks HTTP on loopback as OpenAI does, well and badly."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from subgraph.routing.prompt import OPEN_REQUEST

KEY = "sk-test-0123456789-not-to-be-seen"
COST = "0.000123"


@dataclass(frozen=True)
class Asked:
    """What was asked: the body of a request, and its headers in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def user(self) -> str:
        content: str = self.body["messages"][1]["content"]
        return content

    @property
    def query(self) -> str:
        """The query, as a model finds it between the fences."""
        lines = self.user.splitlines()
        text: str = json.loads(lines[lines.index(OPEN_REQUEST) + 1])
        return text

    @property
    def candidates(self) -> list[str]:
        """The skills that may be picked, as the schema has them."""
        schema = self.body["response_format"]["json_schema"]["schema"]
        return [each for each in schema["properties"]["pick"]["enum"] if each is not None]


@dataclass(frozen=True)
class Reply:
    """What comes back. `wait` seconds before it; `cut` ends the connection without a word."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    cut: bool = False


Behaviour: TypeAlias = Callable[[Asked], Reply]


def completion(content: str, finish_reason: str = "stop", **headers: str) -> Reply:
    """An answer in the form of a chat completion."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content},
    }
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "test-model-of-a-day",
        "choices": [choice],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 40, "total_tokens": 1240},
    }
    return Reply(body=json.dumps(body).encode(), headers={"x-litellm-response-cost": COST, **headers})


def pick(skill: str | None, confidence: float = 0.9, reason: str = "It does that.") -> str:
    """An answer of the form that is asked for."""
    return json.dumps({"pick": skill, "confidence": confidence, "reason": reason})


def picking(skill: str | None, confidence: float = 0.9, reason: str = "It does that.") -> Behaviour:
    """Answer everything with one skill."""
    return lambda _: completion(pick(skill, confidence, reason))


def saying(content: str) -> Behaviour:
    """Answer everything with a text."""
    return lambda _: completion(content)


def labelled(labels: Mapping[str, str | None]) -> Behaviour:
    """Answer with the skill that a query is labelled with."""
    return lambda asked: completion(pick(labels[asked.query], 0.95))


def obeying(asked: Asked) -> Reply:
    """Do what a query says: pick the skill that it names, or else the first one, and be sure of it."""
    words = asked.query.casefold()
    named = [each for each in asked.candidates if each.rpartition("/")[2] in words]
    return completion(pick((named or asked.candidates)[0], 1.0, asked.query))


def refusing(status: int, **headers: str) -> Behaviour:
    """Refuse everything. The refusal quotes the key, as some do."""
    body = json.dumps({"error": {"message": f"no: {KEY}", "type": "error", "code": None}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Reply(status, body, named)


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave so, then so; the last one from there on."""
    left = list(behaviours)
    return lambda asked: (left.pop(0) if len(left) > 1 else left[0])(asked)


class ModelGateway:
    """A gateway that runs. `behaviour` says what it does; `asked` is what it was asked."""

    def __init__(self, url: str, stopping: threading.Event) -> None:
        self.url = url
        self.behaviour: Behaviour = picking(None)
        self.asked: list[Asked] = []
        self._stopping = stopping

    def answer(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        reply = self.behaviour(asked)
        if reply.wait:
            self._stopping.wait(reply.wait)
        return reply


@contextmanager
def model_gateway(behaviour: Behaviour = picking(None)) -> Iterator[ModelGateway]:  # noqa: B008 -- a constant
    """Run a gateway."""
    stopping = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = running.answer(Asked(self.path, headers, json.loads(body)))
            if reply.cut:
                self.close_connection = True
                return
            try:
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except OSError:
                self.close_connection = True  # whoever asked did not wait

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        running = ModelGateway(f"http://127.0.0.1:{server.server_port}/v1", stopping)
        running.behaviour = behaviour
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            stopping.set()
            server.shutdown()
            thread.join()
