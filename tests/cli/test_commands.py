"""The command line, as an operator uses it: in a process of its own, on a real database."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from subgraph.cli.app import COMMANDS, app, name_of
from subgraph.cli.session import operator
from tests.cli.shell import Shell
from tests.support import guests
from tests.support.host_calls import calls, host_caller
from tests.support.postgres import empty_database
from tests.support.service import MST_SKILL
from tests.support.skills import component, write_skill

ROOT = Path(__file__).parents[2]

SCRIPT = b"import json, sys\nprint(json.dumps({'got': json.load(sys.stdin)}))\n"


@pytest.fixture(scope="module")
def shell(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn:
        shell = Shell(home, dsn)
        write_skill(shell.skills, "echo", tools="read_file(notes/**) list_dir(notes)", guest=component())
        write_skill(
            shell.skills,
            "team/by-script",
            fields="metadata:\n  cyberos-script: scripts/main.py\n  region: VN\n  version: 1.2.3",
            files={"scripts/main.py": SCRIPT},
        )
        write_skill(shell.skills, "told", body="Follow me.")
        write_skill(shell.skills, "caller", tools="read_file(notes/**)", guest=host_caller())
        write_skill(shell.skills, "loops", guest=component(guests.LOOPS))
        write_skill(shell.skills, "fails", guest=component(guests.FAILS))
        yield shell


def test_skills_are_listed_as_the_documents_show(shell: Shell) -> None:
    ended = shell("list")
    assert ended.exit_code == 0, ended
    head = ended.stdout.splitlines()[:4]
    assert head[0].startswith("╭─")
    assert [cell.strip() for cell in head[1].strip("│").split("│")] == [
        "name",
        "version",
        "region",
        "executor",
    ]
    rows = {
        cells[0]: tuple(cells[1:])
        for line in ended.stdout.splitlines()
        if line.startswith("│") and (cells := [cell.strip() for cell in line.strip("│").split("│")])
    }
    assert rows["team/by-script"] == ("1.2.3", "VN", "script")
    assert rows["told"] == ("—", "—", "inline")
    assert rows["echo"] == ("—", "—", "wasm")
    assert ended.stdout.rstrip().endswith("skills indexed")


def test_broken_chains_are_said_where_skills_are_listed_and_checked(server: str, tmp_path: Path) -> None:
    with empty_database(server) as dsn:
        shell = Shell(tmp_path, dsn)
        broken = "metadata:\n  cyberos-chain: '{\"stepz\": {}}'"
        alone = "metadata:\n  cyberos-depends-on: away, vn-mst-validate, beside"
        write_skill(shell.skills, "broken", fields=broken)
        one = write_skill(shell.skills, "mine/one", fields=alone)
        write_skill(shell.skills, "mine/beside")

        lines = shell("list").stdout.splitlines()
        assert lines[-2].startswith("broken: line 5: metadata.cyberos-chain: the chain: stepz is not known; ")
        absent = "it depends on away, which is not in the catalogue"
        assert lines[-1] == f"mine/one: metadata.cyberos-depends-on: {absent}"
        listed = {each["path"]: each["problems"] for each in shell.json("list")}  # type: ignore[attr-defined]
        assert listed["mine/one"] == [absent]
        assert listed["mine/beside"] == []
        assert absent in shell("inspect", "one").stdout

        said = shell("validate", os.fspath(one))
        assert said.exit_code == 0
        assert re.findall(r"WARNING (.*)", said.stdout) == [f"line 5: {absent}"]
        assert shell("validate", os.fspath(shell.skills / "broken")).exit_code == 1
        write_skill(tmp_path / "else", "away")
        both = shell("validate", os.fspath(one), os.fspath(tmp_path / "else" / "away"))
        assert "WARNING" not in both.stdout


def test_skills_of_one_region_are_listed_as_json(shell: Shell) -> None:
    listed = shell.json("list", "--region", "VN")
    assert isinstance(listed, list)
    paths = {each["path"] for each in listed}
    assert paths >= {"team/by-script", "cyberskill-vn/vn-mst-validate"}
    # All skills of the collection are for that region, and nothing else that ships is.
    assert {path for path in paths if not path.startswith("cyberskill-vn/")} == {"team/by-script"}


def test_the_quickstart_of_the_documents_gives_its_answer_by_each_executor(shell: Shell) -> None:
    for executor in ("wasm", "script"):
        ended = shell("run", "vn-mst-validate", "--executor", executor, stdin='{"mst":"0123456789-001"}')
        assert ended.exit_code == 0, ended
        answer = json.loads(ended.stdout)
        assert {"ok": True, "format": "13-digit-branch"}.items() <= answer.items()
        tags = re.findall(r"^\[(\w+)\] +(.*)$", ended.stderr, re.MULTILINE)
        assert tags[0] == ("invoke", "skill=cyberskill-vn/vn-mst-validate")
        assert tags[1] == ("broker", "declared allowed-tools: [read_file]")
        assert tags[-1][0] == "invoke"
        assert f"executor={executor}" in tags[-1][1]
        assert "exit_code=0" in tags[-1][1]
    inline = shell("run", "vn-mst-validate", "--executor", "inline", "--input", "{}", "--quiet")
    assert "mã số thuế" in json.loads(inline.stdout)["body"]
    assert inline.stderr == ""


def test_a_run_ends_with_the_exit_code_of_the_skill(shell: Shell) -> None:
    assert shell("run", "fails", "--input", "{}").exit_code == 1
    ended = shell("run", "loops", "--input", "{}", "--timeout-ms", "50")
    assert ended.exit_code == 124
    assert "LIMIT_EXCEEDED" in ended.stderr
    quiet = shell("run", "fails", "--input", "{}", "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr[:8]) == (1, "", "[error] ")
    denied = shell("run", "caller", "--input", json.dumps(calls(["read_file", "../outside"])))
    assert denied.exit_code == 126
    assert "CAPABILITY_DENIED" in denied.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("run", "nobody", "--input", "{}"), 1, "SKILL_NOT_FOUND"),
        (("run", "echo", "--input", "[1]"), 1, "INPUT_INVALID"),
        (("run", "echo"), 2, "no input"),
        (("run", "told", "--input", "{}", "--executor", "wasm"), 1, "nothing to run by WASM"),
        (("grant", "echo"), 2, "--all"),
        (("grant", "echo", "write_file"), 1, "CAPABILITY_DENIED"),
        (("revoke-capability", "echo", "list_dir(notes)"), 1, "was not granted"),
        (("limits", "echo"), 2, "--reset"),
        (("limits", "echo", "--executor", "auto"), 2, "not one of"),
        (("audit", "--since", "yesterday"), 2, "no time"),
        (("approve", "7d0f2e52-0000-4000-8000-000000000000"), 1, "INPUT_INVALID"),
        (("inspect", "nobody"), 1, "SKILL_NOT_FOUND"),
    ],
)
def test_what_cannot_be_done_is_said_with_a_way_out(
    shell: Shell, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    ended = shell(*words)
    assert ended.exit_code == exit_code, ended
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_request_is_left_listed_and_answered(shell: Shell) -> None:
    refused = shell("run", "echo", "--input", "{}", "--capability", "list_dir(notes)")
    assert refused.exit_code == 1
    assert "GRANT_REQUIRED" in refused.stderr
    (request,) = [each for each in shell.json("requests") if each["skill"] == "echo"]  # type: ignore[attr-defined]
    shown = shell("requests").stdout
    assert "list_dir(notes)" in shown
    assert f"│ {request['id'][:8]} │" in shown
    denied = shell("deny", request["id"][:8], "--note", "not today")
    assert denied.stdout == "denied: list_dir(notes) for echo\n"
    again = shell("run", "echo", "--input", "{}", "--capability", "list_dir(notes)")
    assert "denied list_dir(notes) to echo: not today. " in again.stderr
    assert "here: cyberos-skill-cli grant SKILL CAPABILITY; approve is for what waits" in again.stderr
    answered = shell.json("requests", "--state", "denied")
    assert [(each["id"], each["note"]) for each in answered] == [(request["id"], "not today")]  # type: ignore[attr-defined]


def reported(shell: Shell, *words: str) -> tuple[dict[tuple[str, str], tuple[str, str]], str]:
    """The rows of the report on grants, by skill and capability, and its last line."""
    ended = shell("audit", *words)
    assert ended.exit_code == 0, ended
    lines = ended.stdout.splitlines()
    rows = [tuple(cell.strip() for cell in line.strip("│").split("│")) for line in lines if line[:1] == "│"]
    return {(each[0], each[1]): (each[2], each[3]) for each in rows}, lines[-1]


def test_grants_are_made_reported_and_taken_back(shell: Shell) -> None:
    granted = shell("grant", "echo", "--all")
    assert granted.stdout.count("granted ") == 2
    who, none = operator().actor, "(none — declares nothing)"
    rows, last = reported(shell, "--since", "7d")
    assert rows["echo", "read_file(notes/**)"] == (who, "✓")
    assert rows["told", none] == ("—", "✓")
    assert rows["caller", "read_file(notes/**)"] == ("—", "not granted")
    assert last == "2 grants on file · 0 stale · 0 revoked"
    (shell.skills / "echo" / "note.txt").write_text("changed")
    assert reported(shell)[1] == "2 grants on file · 2 stale · 0 revoked"
    stale = shell("run", "echo", "--input", "{}")
    assert (stale.exit_code, "GRANT_STALE" in stale.stderr) == (1, True)
    (shell.skills / "echo" / "note.txt").unlink()
    assert shell("revoke-capability", "echo", "list_dir(notes)").exit_code == 0
    found = shell.json("audit")
    assert isinstance(found, dict)
    assert [each["capability"] for each in found["grants"]] == ["read_file(notes/**)"]
    assert [(each["capability"], each["revoked_by"]) for each in found["taken_back"]] == [
        ("list_dir(notes)", who)
    ]
    assert {"skill": "caller", "capability": "read_file(notes/**)"} in found["not_granted"]
    rows, last = reported(shell)
    assert rows["echo", "list_dir(notes)"] == ("—", "revoked")
    assert last == "1 grant on file · 0 stale · 1 revoked"
    assert shell("revoke", "echo").exit_code == 0
    rows, last = reported(shell)
    assert rows["echo", "read_file(notes/**)"] == (who, "revoked")
    assert last == "1 grant on file · 0 stale · 2 revoked"
    assert shell("reinstate", "echo").exit_code == 0
    assert reported(shell, "--since", "2099-01-01")[1] == "0 grants on file · 0 stale · 0 revoked"
    assert shell("grant", "echo", "list_dir(notes)").exit_code == 0
    rows, last = reported(shell)
    assert rows["echo", "list_dir(notes)"] == (who, "✓")
    assert last == "2 grants on file · 0 stale · 0 revoked"
    assert shell("revoke-capability", "echo", "list_dir(notes)").exit_code == 0


def test_a_broken_skill_is_no_skill_that_declares_nothing(shell: Shell) -> None:
    write_skill(shell.skills, "breaks", fields="metadata:\n  cyberos-script: scripts/gone.py")
    (shell.skills / "breaks" / "outside").symlink_to(shell.home)
    assert reported(shell)[0]["breaks", "—"] == ("—", "broken")
    shutil.rmtree(shell.skills / "breaks")


def test_a_grant_is_refused_for_other_bytes_than_were_reviewed(shell: Shell) -> None:
    ended = shell("grant", "caller", "--all", "--reviewed", "sha256:" + "0" * 64)
    assert (ended.exit_code, "GRANT_STALE" in ended.stderr) == (1, True)


def test_a_skill_is_inspected_as_what_it_could_do_at_most(shell: Shell) -> None:
    text = shell("inspect", "caller").stdout
    assert "read_file(notes/**)" in text
    assert "not granted" in text
    found = shell.json("inspect", "caller")
    assert isinstance(found, dict)
    assert found["executors"] == ["wasm", "inline"]
    assert found["trust"] == "LOCAL"
    (capability,) = found["capabilities"]
    assert capability["state"] == "not granted"
    assert "notes" in capability["description"]


def test_more_trust_is_warned_of_and_confirmed(shell: Shell) -> None:
    write_skill(shell.home / "skills", "stranger", guest=component())
    declined = shell("trust", "stranger", "local", stdin="n\n")
    assert "its scripts run as programs" in declined.stdout
    assert "nothing was changed" in declined.stdout
    assert shell.json("inspect", "stranger")["trust"] == "UNTRUSTED"  # type: ignore[index]
    raised = shell("trust", "stranger", "verified", "--yes")
    assert raised.stdout.splitlines()[-1] == "it is VERIFIED now"
    assert shell.json("inspect", "stranger")["trust"] == "VERIFIED"  # type: ignore[index]


def test_less_trust_in_a_builtin_skill_is_taken_back(shell: Shell) -> None:
    shell("trust", "vn-mst-validate", "untrusted", "--yes")
    back = shell("trust", "vn-mst-validate", "builtin", "--yes")
    assert back.stdout.splitlines()[-1] == "it is BUILTIN now"
    assert shell.json("inspect", "vn-mst-validate")["trust"] == "BUILTIN"  # type: ignore[index]
    assert shell("trust", "vn-mst-validate", "builtin").stdout == "nothing was changed\n"
    assert "INPUT_INVALID: BUILTIN is for" in shell("trust", "loops", "builtin", "--yes").stderr
    checked = shell("audit", "fsck")
    assert checked.exit_code == 0, checked.stdout


def test_limits_are_set_and_reset(shell: Shell) -> None:
    ended = shell("limits", "loops", "--time-ms", "60", "--memory-mib", "8", "--executor", "wasm")
    assert "time_ms=60" in ended.stdout
    assert "memory_bytes=8388608" in ended.stdout
    assert ended.stdout.rstrip().endswith("executors=wasm")
    assert "longer than 60 ms" in shell("run", "loops", "--input", "{}").stderr
    assert "time_ms=5000" in shell("limits", "loops", "--reset").stdout


def test_a_revocation_is_kept_between_commands(shell: Shell) -> None:
    assert shell("revoke", "told", "--note", "CVE-2026-x").stdout == "revoked told\n"
    refused = shell("run", "told", "--input", "{}")
    assert (refused.exit_code, "told was revoked: CVE-2026-x" in refused.stderr) == (1, True)
    assert "REVOKED" in shell("inspect", "told").stdout
    assert reported(shell)[0]["told", "(none — declares nothing)"] == ("—", "revoked")
    assert shell("reinstate", "told").exit_code == 0
    assert shell("run", "told", "--input", "{}").exit_code == 0


def test_skills_are_validated_in_the_documents_layout(shell: Shell, tmp_path: Path) -> None:
    good = shell("validate", os.fspath(MST_SKILL))
    assert good.exit_code == 0
    assert good.stdout.splitlines()[0].startswith("[validate]   reading SKILL.md ...  OK (")
    assert good.stdout.splitlines()[-1].startswith("[validate]   ✅ valid Agent Skill")
    bad = write_skill(tmp_path, "bad", fields="name: Other_Name")
    ended = shell("validate", os.fspath(bad), os.fspath(MST_SKILL))
    assert ended.exit_code == 1
    assert "❌" in ended.stdout
    assert "✅" in ended.stdout


def test_prompts_are_written_whole(shell: Shell) -> None:
    listed = shell("prompt").stdout
    assert listed.startswith("<available_skills>")
    assert listed.rstrip().endswith("</available_skills>")
    assert shell("prompt", "told").stdout.rstrip().endswith("Follow me.\n</skill>")


def test_text_of_a_skill_cannot_command_the_terminal(shell: Shell) -> None:
    write_skill(
        shell.skills,
        "sneaky",
        fields="metadata:\n  cyberos-script: scripts/main.py",
        files={
            "scripts/main.py": b"import sys\n"
            b"sys.stderr.write('\\x1b[2Jgone\\r')\n"
            b"print('\\x1b]0;owned\\x07')\n"
        },
    )
    ended = shell("run", "sneaky", "--input", "{}")
    assert "gone" in ended.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", ended.stderr.replace("\r\n", "\n"))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", ended.stdout)


def test_it_works_as_a_command_of_its_own(shell: Shell) -> None:
    ended = shell.process("run", "team/by-script", stdin='{"a": 1}')
    assert (ended.exit_code, ended.stdout) == (0, '{"got": {"a": 1}}\n'), ended
    assert ended.stderr.splitlines()[0] == "[invoke]     skill=team/by-script"
    wrong = shell.process("list", extra={"CYBEROS_WORKERS": "0"})
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("CYBEROS_WORKERS: ")
    assert shell.process("--version").stdout.count(".") == 2
    assert shell.process("no-such-command").exit_code == 2


def test_every_command_has_help_of_one_sentence_at_least() -> None:
    for command in COMMANDS:
        name = name_of(command)
        result = CliRunner().invoke(app, [name, "--help"])
        assert result.exit_code == 0, name
        assert (command.__doc__ or "").split("\n", 1)[0].endswith("."), name
