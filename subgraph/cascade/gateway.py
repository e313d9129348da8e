"""A model behind any gateway that speaks as OpenAI does, asked through LiteLLM within bounds.

A consultation never raises for what a gateway does. It says how it ended, and whoever asked goes on by rules.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
import time
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import httpx

from subgraph.cascade.breaker import Breaker
from subgraph.cascade.transport import CONNECT_SECONDS, CONNECTIONS, BoundedTransport
from subgraph.routing import PROMPT_VERSION, Consultation, ConsultationOutcome, Prompt
from subgraph.routing.consultation import ANSWER_LIMIT, read_answer
from subgraph.settings import Settings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

ANSWER_TOKENS = 300
"""Of an answer: a path, a number and a sentence take 80."""

FIRST_PAUSE_SECONDS = 0.1
"""Before the second attempt; it doubles with each. A gateway may ask for longer."""

LARGEST_COUNT = 2**53 - 1
"""Of tokens: what JSON carries exactly everywhere. More is no count."""

_REFUSALS, _FAULTS = 400, 500  # from which HTTP statuses on

# What is refused for what it says, by a provider's filter of contents say: any caller can write that.
_ABOUT_QUERIES = frozenset({400, 413, 422})

_MODULES = ("litellm", "langgraph", "langgraph.checkpoint.postgres", "psycopg", "psycopg_pool")
_COST = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,18})?")
_COST_PLACES = Decimal("1e-12")
_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")

# By which the breaker counts. An answer that is none was made out of a query, and whoever asks such queries
# could cut everybody else off from the model.
_FAILURES = frozenset(
    {
        ConsultationOutcome.TIMEOUT,
        ConsultationOutcome.RATE_LIMITED,
        ConsultationOutcome.GATEWAY_ERROR,
        ConsultationOutcome.GATEWAY_REFUSED,
    }
)


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Which model is asked, where and how. `repr` does not show the key."""

    url: str
    model: str
    key: str
    timeout_seconds: float
    temperature: float
    seed: int
    retries: int

    def __repr__(self) -> str:
        return f"GatewaySettings({self.url!r}, {self.model!r})"

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Take what is set; None where there is no gateway.

        Raises `ValueError` where there is one and the extra `llm` is not installed.
        """
        if settings.llm_url is None or settings.llm_model is None:
            return None
        if not all(map(_is_installed, _MODULES)):
            raise ValueError("CYBEROS_LLM_URL needs the extra `llm`: pip install 'cyberos-subgraph[llm]'")
        return cls(
            url=settings.llm_url,
            model=settings.llm_model,
            # The client would look for a key of another service in the environment.
            key=settings.llm_api_key.get_secret_value() if settings.llm_api_key is not None else "none",
            timeout_seconds=settings.llm_timeout_ms / 1000,
            temperature=settings.llm_temperature,
            seed=settings.llm_seed,
            retries=settings.llm_retries,
        )


class _Reply(NamedTuple):
    """How one attempt ended, and what came back. `wait` is how long the gateway asks to be left alone."""

    outcome: ConsultationOutcome
    answer: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost: str | None = None
    wait: float = 0.0
    is_passing: bool = False  # another attempt may end otherwise
    is_about_query: bool = False  # another query may end otherwise


class Gateway:
    """Asks a model. `async with Gateway(settings) as gateway:` loads the clients, which takes seconds."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._breaker = Breaker(time.monotonic)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._http: httpx.AsyncClient | None = None
        self._client: AsyncOpenAI | None = None

    async def __aenter__(self) -> Self:
        settings = self._settings
        openai = await asyncio.to_thread(_load)
        self._http = httpx.AsyncClient(transport=BoundedTransport(), trust_env=False, follow_redirects=False)
        self._client = openai.AsyncOpenAI(
            api_key=settings.key, base_url=settings.url, max_retries=0, http_client=self._http
        )
        await _warm_up(openai)
        return self

    async def __aexit__(self, *_: object) -> None:
        http, self._http, self._client = self._http, None, None
        if http is not None:
            await http.aclose()

    async def consult(self, prompt: Prompt) -> Consultation:
        """Ask the model, in bounded time. What went wrong is the outcome of what is returned."""
        started = time.monotonic()
        before = self.unanswered(prompt, ConsultationOutcome.TIMEOUT)
        if not self._breaker.admit():
            return replace(before, outcome=ConsultationOutcome.CIRCUIT_OPEN)
        attempts = [0]
        try:
            try:
                async with asyncio.timeout(self._settings.timeout_seconds), self._turns:
                    reply = await self._ask(prompt, started + self._settings.timeout_seconds, attempts)
            except TimeoutError:
                reply = _Reply(ConsultationOutcome.TIMEOUT)
        except BaseException:  # whoever asked went away
            self._breaker.abandoned()
            raise
        if not attempts[0]:
            self._breaker.abandoned()  # there were too many at once, which tells nothing of the gateway
        elif reply.outcome in _FAILURES and not reply.is_about_query:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        return _consulted(before, reply, prompt, attempts[0], time.monotonic() - started)

    def unanswered(self, prompt: Prompt, outcome: ConsultationOutcome) -> Consultation:
        """Say how a model would have been asked."""
        return Consultation(
            model=self._settings.model,
            temperature=format(Decimal(str(self._settings.temperature)), "f"),
            seed=self._settings.seed,
            prompt_version=PROMPT_VERSION,
            outcome=outcome,
            attempts=0,
            elapsed_us=0,
            prompt=prompt.encode(),
        )

    async def _ask(self, prompt: Prompt, deadline: float, attempts: list[int]) -> _Reply:
        """Ask until there is an answer, a reason not to go on, or no time for another pause."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            attempts[0] += 1
            reply = await self._attempt(prompt, deadline - time.monotonic())
            wait = max(pause, reply.wait)
            if not reply.is_passing or attempts[0] > self._settings.retries:
                return reply
            if time.monotonic() + wait >= deadline:
                return reply
            await asyncio.sleep(wait)
            pause *= 2

    async def _attempt(self, prompt: Prompt, seconds: float) -> _Reply:
        import litellm

        settings, client = self._settings, self._client
        if client is None:
            raise RuntimeError("Gateway is not entered")
        schema = {"name": "pick", "strict": True, "schema": prompt.schema}
        try:
            response = await litellm.acompletion(
                model=f"openai/{settings.model}",
                messages=prompt.messages,
                response_format={"type": "json_schema", "json_schema": schema},
                temperature=settings.temperature,
                seed=settings.seed,
                max_tokens=ANSWER_TOKENS,
                client=client,
                api_key=settings.key,
                base_url=settings.url,
                timeout=httpx.Timeout(max(seconds, 0.001), connect=CONNECT_SECONDS),
                max_retries=0,
                num_retries=0,
                # For some models, or at a word of the environment, it would ask by another API, and for that
                # by a client of its own, which uses proxies and follows redirects.
                _skip_responses_api_bridge=True,
            )
        except Exception as error:  # noqa: BLE001 -- LiteLLM raises what its clients raise, and its own
            return _failed(error)
        return _replied(response)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _load() -> Any:
    """Import the clients, told to keep what they are given to themselves."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches a price list from elsewhere
    import litellm
    import openai

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.route_all_chat_openai_to_responses = False
    for kind in ("callbacks", "success_callback", "failure_callback", "input_callback", "service_callback"):
        setattr(litellm, kind, [])
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).disabled = True  # they print prompts and, at times, keys
    logging.getLogger("openai").setLevel(logging.CRITICAL)  # those below it keep to it
    return openai


async def _warm_up(openai: Any) -> None:
    """Go through LiteLLM once without a network: its first call imports for a second."""
    import litellm

    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "{}"}}
    answer = {"id": "none", "object": "chat.completion", "created": 0, "model": "none", "choices": [choice]}
    transport = httpx.MockTransport(lambda _: httpx.Response(HTTPStatus.OK, json=answer))
    async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
        client = openai.AsyncOpenAI(api_key="none", base_url="http://none.invalid", http_client=http)
        await litellm.acompletion(
            model="openai/none",
            messages=[{"role": "user", "content": "none"}],
            client=client,
            api_key="none",
            base_url="http://none.invalid",
            max_retries=0,
            num_retries=0,
        )


def _failed(error: Exception) -> _Reply:
    """Tell what an attempt failed of. Nothing is quoted: messages hold addresses, and may hold keys."""
    from litellm.exceptions import APIConnectionError, RateLimitError, Timeout

    if isinstance(error, Timeout):
        return _Reply(ConsultationOutcome.TIMEOUT, is_passing=True)
    if isinstance(error, RateLimitError):
        return _Reply(ConsultationOutcome.RATE_LIMITED, wait=_retry_after(error), is_passing=True)
    status = getattr(error, "status_code", None)
    is_refusal = isinstance(status, int) and _REFUSALS <= status < _FAULTS
    if is_refusal and not isinstance(error, APIConnectionError):
        return _Reply(ConsultationOutcome.GATEWAY_REFUSED, is_about_query=status in _ABOUT_QUERIES)
    return _Reply(ConsultationOutcome.GATEWAY_ERROR, is_passing=True)


def _retry_after(error: Exception) -> float:
    response = getattr(error, "response", None)
    headers = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
    text = str(headers.get("retry-after", ""))
    return float(text) if _SECONDS.fullmatch(text) else 0.0


def _replied(response: Any) -> _Reply:
    """Take the answer out of a completion, and what it took; anything that is missing stays unknown."""
    try:
        choice = response.choices[0]
        content, finished = choice.message.content, choice.finish_reason == "stop"
    except (AttributeError, LookupError, TypeError):
        return _Reply(ConsultationOutcome.BAD_ANSWER)
    usage = getattr(response, "usage", None)
    text = content if isinstance(content, str) else ""
    return _Reply(
        ConsultationOutcome.ANSWERED if finished and text else ConsultationOutcome.BAD_ANSWER,
        text[: ANSWER_LIMIT + 1],
        _count(getattr(usage, "prompt_tokens", None)),
        _count(getattr(usage, "completion_tokens", None)),
        _cost(response),
    )


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def _cost(response: Any) -> str | None:
    """Take what the gateway says that it cost, else what LiteLLM's list of prices does, in US dollars."""
    hidden = getattr(response, "_hidden_params", None) or {}
    value = hidden.get("response_cost")
    if value is None or isinstance(value, bool):
        return None
    try:
        text = format(Decimal(str(value)).quantize(_COST_PLACES).normalize(), "f")
    except InvalidOperation:
        return None
    return text if _COST.fullmatch(text) else None


def _consulted(
    before: Consultation, reply: _Reply, prompt: Prompt, attempts: int, seconds: float
) -> Consultation:
    outcome, pick, percent = reply.outcome, None, None
    if outcome is ConsultationOutcome.ANSWERED:
        read = read_answer(reply.answer, prompt.candidates)
        if isinstance(read, ConsultationOutcome):
            outcome = read
        else:
            pick, percent = read
    return replace(
        before,
        outcome=outcome,
        attempts=attempts,
        elapsed_us=int(seconds * 1_000_000),
        pick=pick,
        confidence_percent=percent,
        tokens_in=reply.tokens_in,
        tokens_out=reply.tokens_out,
        cost=reply.cost,
        answer=reply.answer[:ANSWER_LIMIT].encode("utf-8", "replace"),
    )
