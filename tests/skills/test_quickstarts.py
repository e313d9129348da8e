"""The quickstarts that the design documents print, at the command line, by each executor.

Where the documents are wrong the corrected answer is due: a tax code's check digit, the BIN and the lengths
of a VietQR string.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from subgraph.authoring.fixtures import laid_out
from tests.cli.shell import Shell
from tests.support.parity import SKILLS, fixtures_of
from tests.support.postgres import empty_database

EXECUTORS = ["wasm", "script"]
MARKET = SKILLS / "cyberskill-vn"

TRANSFER = (
    "00020101021238570010A00000072701270006970436011300110012345670208QRIBFTTA"
    "530370454075000000"
    "5802VN62230819Refund INV-2026-0146304"
)
"""But for the checksum: BIN 970436, where the documents have 970404, and lengths that fit."""


@pytest.fixture(scope="module")
def shell(server: str, built: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with empty_database(server) as dsn:
        yield Shell(tmp_path_factory.mktemp("home"), dsn)


def answer(shell: Shell, executor: str, skill: str, asked: Mapping[str, object]) -> str:
    ended = shell("run", skill, "--executor", executor, "--quiet", "--input", json.dumps(asked))
    assert ended.exit_code == 0, ended
    return ended.stdout


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - what our own skills write


@pytest.mark.parametrize("skill", sorted(path.parent.name for path in MARKET.glob("*/scripts")))
def test_the_way_to_run_a_skill_by_hand_runs_as_it_is_printed(tmp_path: Path, skill: str) -> None:
    copy = tmp_path / skill
    shutil.copytree(MARKET / skill, copy, ignore=shutil.ignore_patterns("dist", "__pycache__"))
    text = (copy / "SKILL.md").read_text(encoding="utf-8")
    [command] = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    if skill == "vn-vat-invoice":
        assert "<GrandTotal>550000</GrandTotal>" in ended.stdout
    else:
        answer = json.loads(ended.stdout)
        assert answer.get("ok", True), answer


@pytest.mark.parametrize("executor", EXECUTORS)
def test_tax_code(shell: Shell, executor: str) -> None:
    found = json.loads(answer(shell, executor, "vn-mst-validate", {"mst": "0123456789-001"}))
    assert list(found.items())[:2] == [("ok", True), ("format", "13-digit-branch")]
    assert (found["checksum_ok"], found["expected_check_digit"]) == (False, "7")
    assert found["warnings"] == ["check_digit_mismatch"]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_invoice(shell: Shell, executor: str) -> None:
    asked = {
        "buyer_mst": "0123456789",
        "seller_mst": "9876543210",
        "lines": [{"item": "Consulting", "qty": 1, "unit_price": 10000000, "tax_rate": 0.10}],
    }
    text = answer(shell, executor, "vn-vat-invoice", asked)
    assert text.startswith('<Invoice xmlns="urn:vn:gdt:v3">\n  <BuyerTaxCode>0123456789</BuyerTaxCode>\n')
    [line] = parsed(text).findall("{urn:vn:gdt:v3}LineItem")
    assert (line[-1].tag, line[-1].text) == ("{urn:vn:gdt:v3}TaxAmount", "1000000")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_transfer(shell: Shell, executor: str) -> None:
    asked = {
        "bank": "VCB",
        "account": "0011001234567",
        "amount_vnd": 5000000,
        "memo": "Refund INV-2026-014",
    }
    found = json.loads(answer(shell, executor, "vn-bank-transfer", asked))
    assert list(found)[:3] == ["vietqr_emv", "napas_payload", "render_url"]
    assert found["vietqr_emv"][:-4] == TRANSFER
    assert found["render_url"].startswith("https://img.vietqr.io/image/VCB-0011001234567-")
    assert "assets" not in found
    found = json.loads(answer(shell, executor, "vn-bank-transfer", {**asked, "picture": True}))
    assert found["assets"][0]["media_type"] == "image/svg+xml"
    assert parsed(found["assets"][0]["content"]).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_identity_card(shell: Shell, executor: str) -> None:
    found = json.loads(answer(shell, executor, "vneid-integration", {"cccd": "079203012345"}))
    assert found["valid"] is True
    structure = list(found["structure"].items())
    assert structure[:3] == [("province_code", "079"), ("year_of_birth_century", "2"), ("gender_code", "0")]
    assert "vneid_request_payload" in found
    assert found["checksum"] == "not_applicable"
    assert found["next_action"].startswith(
        "POST to https://vneid.gov.vn/api/v2/verify (requires consent flow)"
    )


@pytest.mark.parametrize("executor", EXECUTORS)
def test_return(shell: Shell, executor: str) -> None:
    workspace = shell.home / "workspace"
    workspace.mkdir(exist_ok=True)
    assert shell("grant", "vn-tax-filing", "--all").exit_code == 0
    [case] = [each for each in fixtures_of(MARKET / "vn-tax-filing") if each.id == "quickstart"]
    with laid_out(workspace, case.files):
        asked = {"period": "2026-Q2", "invoices_dir": "./invoices/2026-Q2/"}
        found = json.loads(answer(shell, executor, "vn-tax-filing", asked))
        assert Path(workspace / "returns" / "2026-Q2.xml").is_file()
    assert list(found.items())[:7] == [
        ("period", "2026-Q2"),
        ("output_vat_total", 25_000_000),
        ("input_vat_total", 18_000_000),
        ("net_vat_due", 7_000_000),
        ("gdt_xml_path", "./returns/2026-Q2.xml"),
        ("ready_for_submission", True),
        ("next_action", "human review then upload to https://thuedientu.gdt.gov.vn"),
    ]
