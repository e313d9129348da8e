"""The documentation is held to the code: whatever a user can set, meet or type stands in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml
from typer.core import TyperGroup

from subgraph import __version__, errors
from subgraph.audit import Entry, Kpi, log_changes
from subgraph.audit.kpis import FIGURES, LONGEST_SPAN
from subgraph.audit.merkle import HASH_BYTES
from subgraph.audit.tiles import Tile
from subgraph.authoring import Language, scaffold
from subgraph.capabilities import TrustTier
from subgraph.capabilities.vocabulary import CAPABILITY_NAMES
from subgraph.catalog.activation_events import normalised
from subgraph.catalog.field_rules import EXTENSIONS
from subgraph.cli import cuo
from subgraph.cli.app import app
from subgraph.cli.evaluation import RATES
from subgraph.execution import tiers
from subgraph.execution.confinement.attempts import ATTEMPTS
from subgraph.execution.host import files
from subgraph.execution.invocation import Executor
from subgraph.execution.limits import ExitCode
from subgraph.principal import Scope
from subgraph.settings import MIB, Settings
from tests.support.postgres import empty_database
from tests.support.skills import write_skill
from tests.support.toolchain import Answer, Guest, build_skill

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "subgraph"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def first_column(text: str, pattern: str) -> set[str]:
    return set(re.findall(rf"^\| `({pattern})` \|", text, re.MULTILINE))


def error_classes() -> list[type[errors.SubgraphError]]:
    classes = (value for value in vars(errors).values() if isinstance(value, type))
    return [value for value in classes if issubclass(value, errors.SubgraphError)]


def test_every_setting_is_documented_and_nothing_else() -> None:
    settings = {f"CYBEROS_{name.upper()}" for name in Settings.model_fields}
    assert first_column(page("docs/settings.md"), r"CYBEROS_\w+") == settings


def test_documented_defaults_are_those_of_the_code() -> None:
    documented = dict(
        re.findall(r"^\| `(CYBEROS_\w+)` \| `([^`]+)` \|", page("docs/settings.md"), re.MULTILINE)
    )
    for name, default in documented.items():
        actual = Settings.model_fields[name.removeprefix("CYBEROS_").lower()].default
        assert str(actual).lower() == default.lower(), name


def test_every_scope_is_documented() -> None:
    assert first_column(page("docs/settings.md"), r"\w+:\w+") == {scope.value for scope in Scope}


def test_every_error_code_is_documented() -> None:
    codes = {error.code for error in error_classes()}
    assert first_column(page("docs/errors.md"), r"[A-Z_]+") == codes


def test_every_exit_code_is_documented() -> None:
    table = set(map(int, re.findall(r"^\| (\d+) \|", page("docs/errors.md"), re.MULTILINE)))
    assert table == set(ExitCode)


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__name__)
def test_every_error_says_something_by_default(error: type[errors.SubgraphError]) -> None:
    message = error().message
    assert message
    assert message[-1] in ".;`" or message.endswith(("again", "grant again")), message


def test_every_command_and_option_is_documented() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)([^|`]*(?:\\\|[^|`]*)*)` \|", page("docs/cli.md"), re.MULTILINE))
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    assert set(rows) == set(group.commands)
    text = page("docs/cli.md")
    for name, command in group.commands.items():
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option not in ("--help", "--json"):
                    assert option in rows[name], f"{name} {option}"
        if any("--json" in parameter.opts for parameter in command.params):
            assert f"`{name}`" in text.partition("write JSON")[0].rpartition("\n\n")[2]


def test_every_command_of_the_audit_log_is_documented() -> None:
    rows = dict(re.findall(r"^\| `audit ([\w-]+)([^|`]*)` \|", page("docs/audit.md"), re.MULTILINE))
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    audit = group.commands["audit"]
    assert isinstance(audit, TyperGroup)
    assert set(rows) == set(audit.commands)
    for name, command in audit.commands.items():
        assert f"`{name}`" in page("docs/cli.md")
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert option in rows[name], f"audit {name} {option}"


def test_every_command_of_the_router_is_documented() -> None:
    text = page("docs/routing.md").partition("## At a shell")[2]
    rows = dict(re.findall(r"^\| `([\w-]+)([^|`]*(?:\\\|[^|`]*)*)` \|", text, re.MULTILINE))
    group = typer.main.get_command(cuo.app)
    assert isinstance(group, TyperGroup)
    assert set(rows) == set(group.commands)
    for name, command in group.commands.items():
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert option in rows[name], f"{name} {option}"


def test_the_figures_of_the_router_are_documented() -> None:
    text = page("docs/routing.md").partition("## How well")[2]
    documented = ", ".join(re.findall(r"^\| ([a-z1][^|]+) \|", text, re.MULTILINE)).split(", ")
    assert documented[1:] == [*(label for label, *_ in RATES), "calibration error"]


def test_every_key_figure_is_documented_with_its_target() -> None:
    text = page("docs/audit.md").partition("\n## Key figures\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]*?) ?\|$", text, re.MULTILINE)

    def target(kpi: Kpi) -> str:
        if kpi.target is None:
            return ""
        shown = {"ratio": f"{kpi.target:.0%}", "ms": f"{kpi.target:g} ms"}.get(kpi.unit, f"{kpi.target:g}")
        return f"{kpi.target_is} {shown}"

    assert rows == [(each.name, target(each)) for each in (figure.measure([]) for figure in FIGURES)]
    assert f"{LONGEST_SPAN.days} days" in text


def test_the_tile_in_the_documentation_is_one() -> None:
    path, length = re.findall(r"8000/audit/(tile/\S+) \| wc -c\n(\d+)", page("docs/audit.md"))[0]
    assert Tile.parse(path).width * HASH_BYTES == int(length)
    assert Tile(0, 1234).path == "tile/0/x001/234"


def test_every_kind_of_entry_is_documented() -> None:
    def kinds(base: Any) -> set[str]:
        own = {base.kind} if hasattr(base, "kind") else set()
        return own.union(*map(kinds, base.__subclasses__()))

    assert {log_changes.RotatedKey.kind, log_changes.DroppedEntries.kind} < kinds(Entry)
    assert first_column(page("docs/audit.md"), r"[a-z]+\.[a-z]+") == kinds(Entry)


def test_the_architecture_names_every_part_and_none_that_is_gone() -> None:
    text = page("docs/architecture.md")
    diagram = text.partition("```\n")[2].partition("```")[0]
    parts = {
        path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    unnamed = {"__init__.py", "__main__.py", "_bundled"}
    named = set(re.findall(r"[a-z_]+(?:\.py)?", diagram))
    assert parts - unnamed - named == set()
    for path in re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", text):
        assert (PACKAGE / path).exists() or (ROOT / path).exists(), path


def test_every_capability_is_documented() -> None:
    documented = set(
        re.findall(r"^\| `([a-z_]+)(?:\([a-zA-Z]+\))?` \|", page("docs/capabilities.md"), re.MULTILINE)
    )
    assert documented == CAPABILITY_NAMES


def test_every_executor_tier_and_extension_is_documented() -> None:
    skills, capabilities = page("docs/skills.md"), page("docs/capabilities.md")
    assert first_column(skills, "[A-Z]+") == {executor.value for executor in Executor}
    heading = next(line for line in capabilities.splitlines() if "`BUILTIN`" in line)
    assert set(re.findall(r"`([A-Z]+)`", heading)) == {tier.value for tier in TrustTier}
    for name in EXTENSIONS:
        assert f"metadata.{name}" in skills, name
    for event in ("onStartup", "onSkill:<path>", "onCommand:<id>", "onKeyword:<word>"):
        assert f"`{event}`" in skills
        assert normalised(event.replace("<path>", "a").replace("<id>", "a").replace("<word>", "a"))


def test_the_figures_of_the_tiers_are_those_of_the_code() -> None:
    rows = {
        cells[0]: cells[1:]
        for line in page("docs/capabilities.md").splitlines()
        if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) == 4
    }
    assert rows["fuel"] == ["uncounted", f"{tiers.VERIFIED_FUEL:,}", f"{tiers.UNTRUSTED_FUEL:,}"]
    assert rows["host calls of one run"] == [
        f"{calls:,}"
        for calls in (tiers.TRUSTED_HOST_CALLS, tiers.VERIFIED_HOST_CALLS, tiers.UNTRUSTED_HOST_CALLS)
    ]
    assert rows["time"][2].endswith(f"at most {tiers.UNTRUSTED_TIME_MS // 1000} s")
    assert rows["memory"][2].endswith(f"at most {tiers.UNTRUSTED_MEMORY_BYTES // MIB} MiB")
    assert rows["output"][2].endswith(f"at most {tiers.UNTRUSTED_OUTPUT_BYTES // 1024} KiB")


def test_the_bounds_of_what_is_written_are_those_of_the_code() -> None:
    of_a_file, of_a_run = (f"{limit // MIB} MiB" for limit in (files.WRITE_LIMIT, files.RUN_WRITE_LIMIT))
    assert f"{of_a_file} a file, {of_a_run} a run" in page("docs/capabilities.md")
    told = f"at most {of_a_run} of the disk by `write_file`, {of_a_file} a file"
    assert told in page("docs/security.md")
    assert f"at most {of_a_run} of the disk in one run" in page("CHANGELOG.md")


def test_the_program_that_embeds_the_host_runs(server: str, tmp_path: Path) -> None:
    block = re.search(r"## Inside another program\n\n```python\n(.*?)```", page("docs/skills.md"), re.DOTALL)
    assert block is not None
    script = "import json, sys\n\nprint(json.dumps({'echo': json.load(sys.stdin)}))\n"
    write_skill(tmp_path / "skills", "my-skill", files={"scripts/main.py": script.encode()})
    with empty_database(server) as dsn:
        ended = subprocess.run(
            [sys.executable, "-c", block[1]],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": os.fspath(ROOT),
                "CYBEROS_HOME": os.fspath(tmp_path / "home"),
                "CYBEROS_DATABASE_URL": dsn,
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert (ended.stdout, ended.returncode) == ("0 {'echo': {'input': 'data'}}\n", 0), ended.stderr


def test_every_forbidden_act_is_documented() -> None:
    text = page("docs/security.md")
    documented = {
        "open a file": "open, write or list a file",
        "write a file": "open, write or list a file",
        "execute a program": "execute a program",
        "connect by TCP": "connect or listen by TCP",
        "listen on TCP": "connect or listen by TCP",
        "send by UDP": "send by UDP",
        "make a UNIX socket": "make a UNIX socket",
        "fork": "fork",
        "trace a process": "trace or signal another process",
        "signal a process": "trace or signal another process",
        "signal by a descriptor": "trace or signal another process",
        "use io_uring": "use io_uring",
        "load BPF": "load BPF",
        "make memory executable": "make memory executable",
    }
    assert set(documented) == set(ATTEMPTS)
    for row in documented.values():
        assert f"| {row} |" in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_named_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z]+)", path.read_text(encoding="utf-8")))
    assert named <= targets


def test_every_make_target_is_described() -> None:
    makefile = page("Makefile")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    described = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    assert set(phony[1].split()) == described


def test_changelog_tells_of_this_version() -> None:
    assert f"## {__version__}" in page("CHANGELOG.md")


def test_request_in_the_readme_answers_as_it_shows(service_url: str) -> None:
    shown = re.search(r"-d '(\{.*?\})'\n(\{.*?…)", page("README.md"), re.DOTALL)
    assert shown is not None
    # As a shell passes it on: the line break inside quotes stays, which JSON forbids only inside text.
    answer = httpx.post(
        f"{service_url}/graphql", content=shown[1], headers={"content-type": "application/json"}
    )
    assert answer.text.startswith(shown[2].removesuffix("…"))


def test_operations_in_the_readme_work_in_their_order(service_url: str) -> None:
    block = re.search(r"```graphql\n(.*?)```", page("README.md"), re.DOTALL)
    assert block is not None
    operations = block[1].strip().splitlines()
    assert len(operations) == 5
    answers = [httpx.post(f"{service_url}/graphql", json={"query": text}).json() for text in operations]
    assert [answer for answer in answers if "errors" in answer] == []
    assert answers[-1]["data"]["reinstateSkill"] == {"revoked": False}


def test_the_skill_in_the_readme_builds_and_runs(tmp_path: Path) -> None:
    source = re.search(r"```typescript\n(.*?)```", page("README.md"), re.DOTALL)
    assert source is not None
    scaffold(tmp_path, "greet", Language.TYPESCRIPT)
    skill = tmp_path / "greet"
    (skill / "src" / "index.ts").write_text(source[1], encoding="utf-8")
    guest = Guest(build_skill(skill))
    assert guest.call('{"name": "An"}') == Answer(ok=True, text='{"greeting":"Xin chào An"}')
    assert guest.call("{}") == Answer(ok=False, text="name is missing")


def test_every_skill_that_is_built_in_is_in_the_readme() -> None:
    text = page("README.md")
    skills = {path.parent for path in (ROOT / "skills").rglob("SKILL.md")}
    assert len(skills) == 20
    for skill in skills:
        place = skill.relative_to(ROOT).as_posix()
        assert place in text or place.startswith("skills/cuo/"), place


def test_the_guest_library_and_the_languages_are_documented() -> None:
    text = page("docs/authoring.md")
    for module in (ROOT / "toolchain" / "guest").glob("*.ts"):
        if not module.name.endswith(".d.ts") and module.name not in {
            "index.ts",
            "guard.ts",
            "environment.ts",
        }:
            assert f"`{module.name}`" in text, module.name
    for twin in (ROOT / "toolchain" / "guest" / "python").glob("*.py"):
        assert f"`{twin.name}`" in text, twin.name
    for language in Language:
        assert f"| `{language}` | `{language.entry}` |" in text


def test_single_test_of_the_contributing_guide_exists() -> None:
    commands = re.findall(
        r"^\$ \.venv/bin/python -m (pytest .*?)\s*(?:#.*)?$", page("CONTRIBUTING.md"), re.MULTILINE
    )
    assert len(commands) == 2
    collecting = [
        subprocess.Popen(
            [sys.executable, "-m", *command.split(), "--collect-only", "-q"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for command in commands
    ]
    for process in collecting:
        found, _ = process.communicate()
        assert process.returncode == 0, found


def test_address_of_the_router_is_that_of_its_configuration() -> None:
    router = yaml.safe_load(page("docker/router.yaml"))
    assert f"http://127.0.0.1:4000{router['supergraph']['path']} " in page("docs/deployment.md")
