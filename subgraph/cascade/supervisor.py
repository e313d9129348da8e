"""The supervisor of the cascade, a graph of LangGraph: what rules leave open, a model is asked about.

1. What the rules decided, or what a person decides, never comes here: that costs no checkpoint, and no model
   is told of it.
2. What the model will be told is kept, encrypted under the key of who asked, before it is told.
3. The model is asked, within bounds; what it answers is kept.
4. The decision is settled by the rules of `settle`, and kept.
5. Where payloads are committed to and not kept, the thread is deleted: the log has the commitments. Where
   they are kept encrypted it stays, until the key is destroyed or it is old.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, TypedDict

from subgraph.audit import SubjectKeys
from subgraph.cascade.gateway import Gateway, GatewaySettings
from subgraph.cascade.thread_upkeep import LEFT_AFTER, ThreadUpkeep
from subgraph.cascade.threads import Threads
from subgraph.routing import CatalogueSnapshot, Consultation, Decision, Prompt, State, prompt_of, settle
from subgraph.routing.decision import encoded
from subgraph.routing.extractors import extract
from subgraph.storage import Database

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from langgraph.graph.state import CompiledStateGraph


class Kept(TypedDict, total=False):
    """What a thread keeps. All of it is bytes: LangGraph writes plain values in clear."""

    decision: bytes
    prompt: bytes
    consultation: bytes


@dataclass(slots=True)
class _Request:
    """What the steps work on, and where they leave what they come to; it is not kept itself."""

    decision: Decision
    snapshot: CatalogueSnapshot
    prompt: Prompt
    consultation: Consultation | None = None


class Supervisor:
    """Settles decisions that rules left open.

    LiteLLM and LangGraph take seconds to load. `at_once` has `async with` do so, and connect; without, the
    first query that needs them does, for a process that may never have one. `kept_days` is how long a thread
    is kept where payloads are.
    """

    def __init__(
        self,
        database: Database,
        subjects: SubjectKeys,
        settings: GatewaySettings,
        *,
        at_once: bool,
        kept_days: int,
    ) -> None:
        self._subjects = subjects
        self._gateway = Gateway(settings)
        self._threads = Threads(database)
        self._upkeep = ThreadUpkeep(
            self._threads, timedelta(days=kept_days) if subjects.encrypts else LEFT_AFTER
        )
        self._at_once = at_once
        self._opening = asyncio.Lock()
        self._resources: AsyncExitStack | None = None

    async def __aenter__(self) -> Self:
        if self._at_once:
            await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        resources, self._resources = self._resources, None
        if resources is not None:
            await resources.aclose()

    async def _open(self) -> None:
        async with self._opening, AsyncExitStack() as stack:
            if self._resources is not None:
                return
            await asyncio.to_thread(_load)
            await stack.enter_async_context(self._gateway)
            await stack.enter_async_context(self._threads)
            await stack.enter_async_context(self._upkeep)
            self._resources = stack.pop_all()

    async def settled(self, decision: Decision, snapshot: CatalogueSnapshot) -> Decision:
        """Settle a stamped decision; one that the rules did not escalate is returned as it is.

        Raises `StorageUnavailable`; what a gateway does raises nothing.
        """
        if decision.state is not State.ESCALATED:  # 1
            return decision
        await self._open()
        from langsmith import tracing_context

        request_id, actor = decision.stamp
        key = await self._subjects.of(actor)
        request = _Request(decision, snapshot, prompt_of(decision, snapshot))
        saver = self._threads.saver(key, request_id)
        graph = self._graph(request, saver)
        # Tracing would send all of it elsewhere, whatever the environment says.
        with self._threads.guarded(), tracing_context(enabled=False):
            try:
                await graph.ainvoke(
                    Kept(decision=decision.encode(), prompt=request.prompt.encode()),  # 2
                    {"configurable": {"thread_id": request_id}},
                    durability="sync",
                )
            finally:
                if not self._subjects.encrypts:  # 5
                    await saver.adelete_thread(request_id)
        return request.decision

    async def judged(self, decision: Decision, snapshot: CatalogueSnapshot) -> Decision:
        """Settle a decision of nobody, for an evaluation: nothing is kept."""
        if decision.state is not State.ESCALATED:
            return decision
        await self._open()
        return settle(decision, snapshot, await self._gateway.consult(prompt_of(decision, snapshot)), extract)

    def _graph(self, request: _Request, saver: AsyncPostgresSaver) -> CompiledStateGraph[Kept, Any, Any, Any]:
        from langgraph.graph import END, START, StateGraph

        async def consult(state: Kept) -> Kept:  # 3
            request.consultation = await self._gateway.consult(request.prompt)
            told = {**request.consultation.as_data(), "answer": request.consultation.answer.decode()}
            return Kept(consultation=encoded(told))

        async def settle_it(state: Kept) -> Kept:  # 4
            if request.consultation is None:
                raise RuntimeError("nothing was asked")
            request.decision = settle(request.decision, request.snapshot, request.consultation, extract)
            return Kept(decision=request.decision.encode())

        graph = StateGraph(Kept)
        graph.add_node("consult", consult)
        graph.add_node("settle", settle_it)
        graph.add_edge(START, "consult")
        graph.add_edge("consult", "settle")
        graph.add_edge("settle", END)
        return graph.compile(checkpointer=saver)


def _load() -> None:
    """Import what the first query would wait for."""
    for name in ("LANGCHAIN_TRACING", "LANGCHAIN_HANDLER"):
        os.environ.pop(name, None)  # of a tracer that is no more: with either, LangGraph refuses every run
    import langsmith  # noqa: F401
