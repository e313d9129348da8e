"""`cyberos-cuo`, as the document of the router prints it, over this project's own skills."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from subgraph import __version__
from subgraph.cli import cuo
from subgraph.cli.app import app as skill_app
from tests.cli.shell import Shell
from tests.support.postgres import empty_database
from tests.support.toolchain import ROOT

VN = "cyberskill-vn"


@pytest.fixture(scope="module")
def shell(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with empty_database(server) as dsn:
        yield Shell(tmp_path_factory.mktemp("home"), dsn, cuo.app)


def write_skill(root: Path, name: str, script: str, head: str = "") -> None:
    (root / name / "scripts").mkdir(parents=True)
    (root / name / "SKILL.md").write_text(f"---\nname: {name}\ndescription: An example.\n{head}---\nBody.\n")
    (root / name / "scripts" / "main.py").write_text(f"{script}\n")


def test_the_script_of_the_package_is_this_program() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["cyberos-cuo"] == f"{cuo.main.__module__}:{cuo.main.__name__}"
    assert "from subgraph.cli.cuo import main" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_each_program_prints_its_version(shell: Shell) -> None:
    for program in (cuo.app, skill_app):
        ended = shell("--version", app=program)
        assert (ended.exit_code, ended.stdout) == (0, f"{__version__}\n")


def test_a_decision_that_is_not_recorded_is_refused_and_nonsense_is_a_mistake(shell: Shell) -> None:
    unknown = shell("explain", "7d0f2e52-0000-4000-8000-000000000000")
    assert unknown.exit_code == 1
    assert unknown.stderr == "INPUT_INVALID: no decision with this ID is recorded\n"
    nonsense = shell("explain", "nonsense")
    assert (nonsense.exit_code, "is no ID of a request" in nonsense.stderr) == (2, True)


def test_a_query_is_routed_as_the_document_prints_it(shell: Shell) -> None:
    ended = shell("route", "kiểm tra MST 0123456789-001")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout == (
        "decision:\n"
        "  skill_name: cyberskill-vn/vn-mst-validate\n"
        '  arguments:  {mst: "0123456789-001"}\n'
        "  confidence: 1.0\n"
        '  rationale:  "VN-diacritic query + region=VN bonus + 3 keyword hits"\n'
        "  routed:     true\n"
        "\n"
        "alternatives:\n"
        "  - cyberskill-vn/vn-bank-transfer score=0.2\n"
        "  - cyberskill-vn/vn-tax-filing    score=0.2\n"
        "  - cyberskill-vn/vn-vat-invoice   score=0.2\n"
        "\n"
        "(not invoked — pass --invoke to dispatch through the Skill host)\n"
    )


def test_what_is_missing_is_asked_for(shell: Shell) -> None:
    ended = shell("route", "create an invoice for ACME, 12 million VND")
    assert ended.exit_code == 0
    assert "  missing:    [seller_mst, item, tax_rate]\n" in ended.stdout
    assert "  question:   \"Please give: the seller's tax code; " in ended.stdout
    assert ended.stdout.endswith("(not invoked — there is something to ask first)\n")


def test_two_readings_are_asked_about(shell: Shell) -> None:
    ended = shell("route", "so sánh MST 0100109106 và 0100233488")
    assert "  ambiguous:  [mst]\n" in ended.stdout
    assert "  question:   " in ended.stdout


def test_what_only_a_person_does_names_the_seat(shell: Shell) -> None:
    ended = shell("route", "send the invoice to our client")
    assert ended.exit_code == 0
    assert "  skill_name: null\n  arguments:  {}\n" in ended.stdout
    assert "  routed:     false\n  deferred:   CFO (to be filled · P2+)\n" in ended.stdout
    assert ended.stdout.endswith("(not invoked)\n")


def test_a_query_with_nothing_else_to_be_for_says_so(shell: Shell) -> None:
    assert "\nalternatives:\n  none\n" in shell("route", "hello", "--persona", "CFO").stdout


def test_a_query_within_a_persona(shell: Shell) -> None:
    assert shell.told("route", "validate MST 0123456789", "--persona", "CPO")["skillName"] is None
    assert shell.told("route", "validate MST 0123456789", "--persona", "CFO")["routed"] is True
    ended = shell("route", "hello", "--persona", "KING")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("INPUT_INVALID: no persona is named 'KING'; there are CEO, ")


def test_the_examples_of_the_documentation_are_real(shell: Shell) -> None:
    text = (ROOT / "docs" / "routing.md").read_text(encoding="utf-8")
    examples = re.findall(r"```console\n\$ \.venv/bin/cyberos-cuo (.*?)\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 3
    for command, output in examples:
        assert shell(*shlex.split(command)).stdout == output


CHAIN = 'VAT invoice, buyer MST {buyer}, seller MST 0100109106, item "rice", 10 triệu, VAT 8%'


def test_a_chain_is_run_and_explained_step_by_step(shell: Shell) -> None:
    ended = shell("route", CHAIN.format(buyer="0100109106"), "--invoke", "--record")
    assert (ended.exit_code, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert re.fullmatch(r"chain:       succeeded  steps=3  total_elapsed_ms=[0-9.]+", lines[1])
    assert lines[2:5] == [
        f"  - buyer: {VN}/vn-mst-validate  ok  exit=0",
        f"  - seller: {VN}/vn-mst-validate  ok  exit=0",
        f"  - vn-vat-invoice: {VN}/vn-vat-invoice  ok  exit=0",
    ]
    assert "<GrandTotal>10800000</GrandTotal>" in ended.stdout
    request = ended.stdout.split()[-1]
    explained = shell("explain", request).stdout
    assert f"  - seller: {VN}/vn-mst-validate  ok\n" in explained
    steps = json.loads(shell("explain", request, "--format", "json").stdout)["steps"]
    assert [each["status"] for each in steps] == ["ok", "ok", "ok"]


def test_a_chain_that_stops_says_where_and_shows_the_answer(shell: Shell) -> None:
    ended = shell("route", CHAIN.format(buyer="0000000000"), "--invoke")
    assert ended.exit_code == 1
    assert f"  - buyer: {VN}/vn-mst-validate  failed  exit=0\n    {{" in ended.stdout
    assert '"reason":"all_zero"' in ended.stdout
    assert f"  - vn-vat-invoice: {VN}/vn-vat-invoice  skipped\n" in ended.stdout
    assert ended.stderr == (
        f"[error]      EXECUTION_FAILED: step 1 of 3, buyer ({VN}/vn-mst-validate): its answer at /ok is not "
        "true, as the chain expects\n"
    )
    again = shell("route", CHAIN.format(buyer="0000000000"), "--invoke", "--format", "json")
    found = json.loads(again.stdout)
    assert (found["state"], found["result"], found["error"]["code"]) == ("failed", None, "EXECUTION_FAILED")
    assert [(each["step"], each["status"]) for each in found["steps"]] == [
        ("buyer", "failed"), ("seller", "ok"), ("vn-vat-invoice", "skipped")
    ]  # fmt: skip


def test_a_query_cannot_command_the_terminal(shell: Shell) -> None:
    ended = shell("route", "hello \x1b[2J", "--record")
    assert "\x1b" not in ended.stdout


RECORDED = re.compile(
    r"recorded:    brain://(meta/cuo-decisions/\d+_[0-9a-f]{4}\.md)\n"
    r"             seq=\d+  chain=[0-9a-f]{4}\.\.\.[0-9a-f]{4}\n"
    r"request:     ([0-9a-f-]{36})\n\Z"
)


def test_a_query_is_routed_invoked_and_recorded_as_the_document_prints_it(shell: Shell) -> None:
    ended = shell("route", "validate MST 0123456789", "--invoke", "--record")
    assert (ended.exit_code, ended.stderr) == (0, "")
    first, second, third, rest = ended.stdout.split("\n", 3)
    assert first == "decision:    cyberskill-vn/vn-mst-validate (conf=0.6)"
    assert re.fullmatch(r"invocation:  exit=0  elapsed_ms=[\d.]+", second)
    assert third.startswith("stdout:      {")
    found = RECORDED.fullmatch(rest)
    assert found is not None
    viewed = shell("view", found[1], app=skill_app)
    assert "# CUO routing decision\n" in viewed.stdout
    assert found[2] in viewed.stdout
    record, _, became = viewed.stdout.partition("\n## What became of it, by the later entry ")
    assert "**State:** invoking\n" in record
    seq, state, invocation, lifecycle, at = became.replace("\n\n", "\n").splitlines()
    assert int(seq) > int(re.search(r"seq=(\d+)", rest)[1])  # type: ignore[index]
    assert state == "**State:** succeeded"
    assert invocation.startswith("**Invocation:** ")
    assert re.match(r"\*\*Lifecycle:\*\* succeeded \S+Z, recorded \S+Z", lifecycle)
    assert at.startswith("**At:** ")

    explained = shell("explain", found[2])
    assert explained.exit_code == 0
    assert explained.stdout.startswith(
        "query:       (the log holds a commitment alone, or the key was destroyed)\n"
    )
    assert "  arguments:  (the log holds a commitment alone, or the key was destroyed)\n" in explained.stdout
    assert '  rationale:  "2 keyword hits"\n' in explained.stdout
    reached = explained.stdout.partition("\nstate:       succeeded\nlifecycle:   ")[2]
    moments = [line.split() for line in reached.partition("\ninvocation:  exit=0  ")[0].splitlines()]
    assert [state for _, state in moments] == [
        "received", "routing", "picked", "invoking", "succeeded", "recorded"
    ]  # fmt: skip
    assert moments == sorted(moments, key=lambda moment: moment[0])
    assert explained.stdout.endswith(rest)
    told = shell.told("explain", found[2])
    assert (told["query"], told["arguments"], told["exitCode"]) == (None, None, 0)
    assert (told["state"], told["error"]) == ("succeeded", None)

    again = shell("replay", found[2], "--query", "validate MST 0123456789")
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout.endswith("\nreplay:      identical\n")
    assert shell.told("replay", found[2], "--query", "validate MST 0123456789")["same"] is True
    for words in ((), ("--query", "validate MST 0123456788")):
        refused = shell("replay", found[2], *words)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("INPUT_INVALID: ")


def test_a_decision_is_recorded_without_being_invoked(shell: Shell) -> None:
    ended = shell("route", "send the invoice to our client", "--record")
    assert ended.exit_code == 0
    head, found, _ = ended.stdout.partition("\n(not invoked)\n\n")
    assert found
    assert head.startswith("decision:\n")
    recorded = RECORDED.search(ended.stdout)
    assert recorded is not None
    assert shell.told("explain", recorded[2])["state"] == "deferred"
    assert "What became of it" not in shell("view", recorded[1], app=skill_app).stdout


def test_what_was_to_be_invoked_and_was_not_ends_with_1(shell: Shell) -> None:
    ended = shell("route", "create an invoice for ACME, 12 million VND", "--invoke")
    assert ended.exit_code == 1
    assert ended.stdout.endswith("(not invoked — there is something to ask first)\n")
    found = json.loads(shell("route", "hello there", "--invoke", "--record", "--format", "json").stdout)
    assert (found["state"], found["result"]["exitCode"]) == ("succeeded", 0)
    assert found["recorded"]["address"].startswith("brain://meta/cuo-decisions/")


def test_a_skill_of_one_s_own_says_what_it_lacks(server: str, tmp_path: Path) -> None:
    with empty_database(server) as dsn:
        shell = Shell(tmp_path, dsn, cuo.app)
        write_skill(shell.skills, "count-days", "import sys; sys.exit('no days are given')")
        write_skill(shell.skills, "ask-leave", "print('{}')", "allowed-tools: write_file\n")
        steps = '{"steps": {"a": {"skill": "nobody"}}}'
        chain = f"metadata: {{cyberos-depends-on: nobody, cyberos-chain: '{steps}'}}\n"
        write_skill(shell.skills, "plan-leave", "print('{}')", chain)

        failed = shell("route", "count days", "--invoke")
        assert re.fullmatch(
            r"decision:    count-days \(conf=0\.5\)\ninvocation:  exit=1  elapsed_ms=[0-9.]+\n", failed.stdout
        )
        assert failed.stderr == "[error]      EXECUTION_FAILED: no days are given\n"

        refused = shell("route", "ask leave", "--invoke", "--record")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith("GRANT_REQUIRED: ")
        request = refused.stderr.splitlines()[-1].removeprefix("request: ")
        assert shell.told("explain", request)["state"] == "failed"
        assert "request: " not in shell("route", "ask leave", "--invoke").stderr

        broken = shell("route", "plan leave", "--invoke")
        assert broken.exit_code == 1
        assert "it cannot be run: plan-leave depends on nobody" in broken.stdout
        assert broken.stdout.endswith("\n(not invoked — it cannot be run)\n")


def test_a_decision_that_comes_out_otherwise_ends_with_1(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "validate MST 0123456789"
    recorded = shell.told("route", query, "--record")
    monkeypatch.setattr("subgraph.routing.router.THRESHOLD_PERCENT", 101)
    ended = shell("replay", str(recorded["requestId"]), "--query", query)
    assert ended.exit_code == 1
    assert ended.stdout.endswith("\nreplay:      different: null (conf=0.6)\n")


def test_a_request_that_is_not_there_is_refused(shell: Shell) -> None:
    unknown = "0191b2f0-0000-4000-8000-000000000001"
    assert shell("explain", unknown).exit_code == 1
    assert shell("replay", unknown, "--query", "hello").exit_code == 1
    for command in ("explain", "replay"):
        for text in ("a", unknown[:7], "0191b2f-", unknown + "0", "--------", "0191b2fg"):
            assert shell(command, "--", text).exit_code == 2
        refused = shell(command, unknown[:8])
        assert (refused.exit_code, "no decision with this ID is recorded" in refused.stderr) == (1, True)


def test_a_request_is_found_by_how_its_id_begins(shell: Shell) -> None:
    query = "validate MST 0123456789"
    request = str(shell.told("route", query, "--record")["requestId"])
    for beginning in (request[:8], request[:13], request[:20].upper(), request.replace("-", "")):
        assert shell("explain", beginning).stdout.endswith(f"request:     {request}\n")
    assert shell("replay", request[:8], "--query", query).exit_code == 0


def test_a_decision_as_json_has_all_of_it(shell: Shell) -> None:
    found = shell.told("route", "tạo hoá đơn cho ACME, MST 0123456789, số tiền 10 triệu")
    assert found["arguments"] == {"mst": "0123456789", "amount_vnd": 10_000_000}
    assert found["input"] == {"buyer_mst": "0123456789", "lines": [{"qty": 1, "unit_price": 10_000_000}]}
    assert (found["tier"], found["nudge"], found["persona"]) == ("ask", "question", "CFO")
    assert found["catalogFingerprint"] == shell.told("catalog")["fingerprint"]


def test_key_figures_show_how_sure_the_router_was(shell: Shell) -> None:
    assert shell("route", "validate MST 0123456789", "--record").exit_code == 0
    ended = shell("kpis", app=skill_app)
    told = json.loads(shell("kpis", "--format", "json", app=skill_app).stdout)
    figures = {each["name"]: each for each in told}
    mean, tenth = figures["routing_confidence_mean"], figures["routing_confidence_p10"]
    assert sum(mean["bins"]) == mean["denominator"] == tenth["denominator"] >= 1
    assert mean["bins"][6] >= 1
    assert 0 <= tenth["value"] <= mean["value"] <= 1
    assert "bins" not in tenth
    assert "\nrouting_confidence_mean, by tenths:\n  0.0  " in ended.stdout
    assert re.search(rf"^  0\.6  █+ {mean['bins'][6]}$", ended.stdout, re.MULTILINE)


def test_every_command_writes_json() -> None:
    group = typer.main.get_command(cuo.app)
    assert isinstance(group, TyperGroup)
    bank = group.commands.pop("bank")
    assert isinstance(bank, TyperGroup)
    assert set(bank.commands) == {"show", "set", "clear"}
    for name, command in [*group.commands.items(), *bank.commands.items()]:
        assert any("--format" in parameter.opts for parameter in command.params), name


INVOICE = {
    "mst": "0100109106",
    "seller_mst": "0100233488",
    "item": "rice",
    "amount_vnd": 10**7,
    "tax_rate": 0.08,
}
"""Arguments as decisions name them: `mst` is the buyer's, and the amount makes one line."""


def test_a_skill_is_dispatched_after_its_chain(shell: Shell, tmp_path: Path) -> None:
    text = json.dumps(INVOICE)
    ended = shell("dispatch", "vn-vat-invoice", "--arguments", text)
    assert (ended.exit_code, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert re.fullmatch(r"chain:       succeeded  steps=3  total_elapsed_ms=[0-9.]+", lines[0])
    assert lines[1:4] == [
        f"  - buyer: {VN}/vn-mst-validate  ok  exit=0",
        f"  - seller: {VN}/vn-mst-validate  ok  exit=0",
        f"  - vn-vat-invoice: {VN}/vn-vat-invoice  ok  exit=0",
    ]
    assert "<BuyerTaxCode>0100109106</BuyerTaxCode>" in ended.stdout
    (tmp_path / "given.json").write_text(text)
    from_file = shell("dispatch", "vn-vat-invoice", "--arguments", f"@{tmp_path / 'given.json'}")
    answer = ended.stdout.partition("stdout:")[2]
    assert from_file.stdout.partition("stdout:")[2] == answer
    for words in ((), ("--arguments", "-")):
        assert shell("dispatch", "vn-vat-invoice", *words, stdin=text).stdout.endswith(answer)


def test_a_dispatched_chain_that_stops_says_where(shell: Shell) -> None:
    text = json.dumps({**INVOICE, "mst": "0000000000"})
    ended = shell("dispatch", "vn-vat-invoice", "--arguments", text)
    assert ended.exit_code == 1
    assert f"  - buyer: {VN}/vn-mst-validate  failed  exit=0\n    {{" in ended.stdout
    assert ended.stderr.startswith("[error]      EXECUTION_FAILED: step 1 of 3, buyer ")
    told = shell("dispatch", "vn-vat-invoice", "--arguments", text, "--format", "json")
    found = json.loads(told.stdout)
    assert (found["skillName"], found["state"], found["result"]) == (f"{VN}/vn-vat-invoice", "failed", None)
    assert [(each["step"], each["status"]) for each in found["steps"]] == [
        ("buyer", "failed"), ("seller", "ok"), ("vn-vat-invoice", "skipped")
    ]  # fmt: skip


def test_a_skill_without_a_chain_is_dispatched_alone(shell: Shell) -> None:
    ended = shell("dispatch", "vn-mst-validate", "--arguments", '{"mst": "0100109106"}')
    assert re.match(r"invocation:  exit=0  elapsed_ms=[0-9.]+\nstdout:      \{", ended.stdout)
    found = shell.told("dispatch", "vn-mst-validate", "--arguments", '{"mst": "0100109106"}')
    assert (found["state"], found["steps"], found["error"]) == ("succeeded", [], None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "no arguments"),
        ("[1]", "a JSON object"),
        ("{", "not JSON"),
        ("[" * 10**5, "not JSON"),
        ("@nowhere.json", "nowhere.json: No such file"),
    ],
)
def test_arguments_that_are_none_are_a_mistake(shell: Shell, given: str, said: str) -> None:
    ended = shell("dispatch", "vn-mst-validate", "--arguments", given)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert said in ended.stderr


def test_a_skill_with_a_chain_that_runs_alone_says_so(shell: Shell) -> None:
    text = json.dumps({"seller_mst": "0000000000", "lines": []})
    ended = shell("run", "vn-vat-invoice", "--input", text, app=skill_app)
    way = f"cyberos-cuo dispatch {VN}/vn-vat-invoice runs its chain first: vn-mst-validate"
    assert f"[chain]      it runs alone here; {way}\n" in ended.stderr
    text = json.dumps({"mst": "0100109106"})
    assert "[chain]" not in shell("run", "vn-mst-validate", "--input", text, app=skill_app).stderr
