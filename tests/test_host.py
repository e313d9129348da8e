"""The host inside another program."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import subgraph
from subgraph import SkillHost
from subgraph.capabilities import TrustTier
from subgraph.errors import GrantRequired, InputInvalid, SkillNotFound
from subgraph.execution.invocation import Executor
from tests.support import guests
from tests.support.postgres import empty_database, run
from tests.support.skills import component, skill_settings, write_skill


def test_a_skill_is_executed_without_a_server(server: str, tmp_path: Path) -> None:
    write_skill(tmp_path / "skills", "my-skill", tools="read_file(notes/**)", guest=component())
    write_skill(tmp_path / "skills", "loops", guest=component(guests.LOOPS))

    async def scenario(dsn: str) -> None:
        settings = skill_settings(tmp_path / "home", dsn)
        async with SkillHost(tmp_path / "skills", settings=settings, actor="ann") as host:
            answer = await host.execute_skill("my-skill", {"input": "data"}, timeout_ms=5000)
            assert (answer.result, answer.actor, answer.executor) == ({"input": "data"}, "ann", Executor.WASM)
            assert [header.path for header in await host.skills()] == ["loops", "my-skill"]
            stopped = await host.execute_skill("loops", "{}", timeout_ms=50)
            assert stopped.exit_code == 124
            with pytest.raises(SkillNotFound):
                await host.execute_skill("nobody", {})
            with pytest.raises(InputInvalid, match="timeout"):
                await host.execute_skill("my-skill", {}, timeout_ms=0)
            with pytest.raises(GrantRequired):
                await host.execute_skill("my-skill", {}, capabilities=["read_file(notes/**)"])
            (request,) = await host.oversight.requests(host.principal)
            await host.oversight.answer(host.principal, request.request_id, approve=True)
            granted = await host.execute_skill("my-skill", {})
            assert granted.capabilities == ("read_file(notes/**)",)
            assert (await host.oversight.trust_of(host.principal, "my-skill")).tier is TrustTier.LOCAL
            assert "<name>my-skill</name>" in await host.available_skills()
            assert "# How to use it" in await host.skill_prompt("my-skill")

    with empty_database(server) as dsn:
        run(scenario(dsn))


def test_directories_take_the_place_of_the_setting(server: str, tmp_path: Path) -> None:
    write_skill(tmp_path / "home" / "mine", "from-the-setting", guest=component())
    write_skill(tmp_path / "one", "first", guest=component())
    write_skill(tmp_path / "two", "second", guest=component())

    async def names(host: SkillHost) -> list[str]:
        async with host:
            return [header.path for header in await host.skills()]

    with empty_database(server) as dsn:
        settings = skill_settings(tmp_path / "home", dsn)
        assert run(names(SkillHost(settings=settings))) == ["from-the-setting"]
        several = SkillHost(tmp_path / "one", str(tmp_path / "two"), settings=settings)
        assert run(names(several)) == ["first", "second"]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYBEROS_WORKERS", "0")
    with pytest.raises(ValueError, match="CYBEROS_WORKERS"):
        SkillHost("./skills")


def test_it_can_be_used_again_in_the_same_program(server: str, tmp_path: Path) -> None:
    write_skill(tmp_path / "skills", "echo", guest=component())

    async def scenario(dsn: str) -> None:
        settings = skill_settings(tmp_path / "home", dsn)
        for _ in range(2):
            async with SkillHost(tmp_path / "skills", settings=settings) as host:
                answers = await asyncio.gather(*(host.execute_skill("echo", {"n": n}) for n in range(8)))
            assert [answer.result for answer in answers] == [{"n": n} for n in range(8)]

    with empty_database(server) as dsn:
        run(scenario(dsn))


def test_nothing_else_is_exported() -> None:
    assert subgraph.__all__ == ["SkillHost", "__version__"]
    with pytest.raises(AttributeError, match="has no attribute 'SkilHost'"):
        subgraph.SkilHost  # noqa: B018
