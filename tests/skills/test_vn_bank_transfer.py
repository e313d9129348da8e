from __future__ import annotations

import json
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import segno
import segno.encoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.parity import SKILLS, Twins, fixtures_of
from tests.support.toolchain import Answer
from tests.support.transfers import (
    Modules,
    ask_oracles,
    asked,
    generated,
    mask_of,
    penalty,
    raster,
    requests_of,
    unpacked,
)

SKILL = SKILLS / "cyberskill-vn" / "vn-bank-transfer"
STRINGS = 1_500
SYMBOLS = 320

Both = Callable[[str], Answer]

property_test = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def twins() -> Twins:
    return Twins(SKILL)


@pytest.fixture(scope="module")
def both(twins: Twins) -> Both:
    return twins.ask


def output(both: Both, **fields: object) -> dict[str, Any]:
    answer = both(json.dumps(fields))
    assert answer.ok, answer.text
    parsed: dict[str, Any] = json.loads(answer.text)
    return parsed


BANKS = json.loads((SKILL / "assets" / "banks.json").read_text(encoding="utf-8"))
BINS = [bank["bin"] for bank in BANKS["banks"]]

REQUESTS = requests_of(BINS)


class TestStrings:
    def test_two_libraries_write_the_same(self, both: Both) -> None:
        transfers = generated(STRINGS, 20261120, BINS)
        strings = ask_oracles(transfers=transfers)["strings"]
        for transfer, (first, second) in zip(transfers, strings, strict=True):
            own = output(both, **asked(transfer, picture=False))["vietqr_emv"]
            assert own == first == second, transfer

    def test_libraries_leave_to_the_caller_what_banks_do_not_carry(self, both: Both) -> None:
        base = {"bin": "970436", "method": "account", "number": "1012345678", "amount": None}
        accents = {**base, "memo": "Tiền nhà"}
        long = {**base, "memo": "x" * 26}
        [with_accents, with_26] = ask_oracles(transfers=[accents, long])["strings"]
        assert all("62120808Tiền nhà" in string for string in with_accents)
        assert "x" * 26 in with_26[0]
        assert with_26[1] is None
        assert output(both, **asked(accents))["napas_payload"]["memo"] == "Tien nha"
        assert output(both, **asked(long))["napas_payload"]["memo"] == "x" * 25

    @pytest.mark.parametrize(("amount", "taken"), [(0, [True, False]), (10.5, [True, True])])
    def test_libraries_take_amounts_that_are_none(self, both: Both, amount: float, taken: list[bool]) -> None:
        transfer = {"bin": "970436", "method": "account", "number": "1", "amount": amount, "memo": None}
        [strings] = ask_oracles(transfers=[transfer])["strings"]
        assert [string is not None for string in strings] == taken
        assert "must be a whole number" in both(json.dumps(asked(transfer))).text

    def test_vectors_of_the_reference_hold(self, both: Both) -> None:
        text = (SKILL / "references" / "vietqr-format.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| (\d{6}) \| (card )?(\w+) \| (\S+) \| (.+?) \| `(.+)` \|$", text, re.MULTILINE)
        assert len(rows) == 7
        for bin_, card, number, amount, memo, code in rows:
            fields = {
                "bank": bin_,
                "card" if card else "account": number,
                "amount_vnd": None if amount == "-" else int(amount),
                "memo": None if memo == "-" else memo,
            }
            assert output(both, **fields)["vietqr_emv"] == code
            assert output(both, decode=code)["ok"]

    def test_check_sum_is_that_of_its_standard_vector(self, twins: Twins) -> None:
        assert twins.reference.modules["vietqr"].crc_of("123456789") == "29B1"

    @property_test
    @given(request=REQUESTS)
    def test_what_is_written_reads_as_it_was_asked(self, both: Both, request: dict[str, Any]) -> None:
        written = output(both, **request, picture=False)
        read = output(both, decode=written["vietqr_emv"])
        assert read["ok"]
        assert read["crc_ok"]
        assert read["warnings"] == []
        assert read["bank"]["bank_bin"] == request["bank"]
        method = "card" if "card" in request else "account"
        assert read[method] == request[method]
        assert read["amount_vnd"] == request.get("amount_vnd")
        assert read["memo"] == request.get("memo")
        assert read["one_time"] is ("amount_vnd" in request)
        payload = written["napas_payload"]
        assert payload["beneficiary"] == {**read["bank"], method: request[method]}
        assert (payload["status"], payload["requires_human_approval"]) == ("draft", True)

    @property_test
    @given(request=REQUESTS, data=st.data())
    def test_a_changed_character_is_noticed(
        self, both: Both, request: dict[str, Any], data: st.DataObject
    ) -> None:
        code = output(both, **request, picture=False)["vietqr_emv"]
        place = data.draw(st.integers(0, len(code) - 1))
        other = data.draw(
            st.characters(min_codepoint=32, max_codepoint=126).filter(lambda it: it != code[place])
        )
        read = output(both, decode=code[:place] + other + code[place + 1 :])
        # A letter of the check sum may be small, which is a warning; nothing else passes.
        assert not read["ok"] or read["warnings"] == ["crc_lower_case"]


class TestMemo:
    @property_test
    @given(memo=st.text(st.characters(codec="utf-8"), max_size=60))
    def test_is_always_one_that_banks_carry(self, both: Both, memo: str) -> None:
        answer = output(both, bank="VCB", account="1", memo=memo, picture=False)
        left = answer["napas_payload"]["memo"]
        if left is None:
            assert "08" not in answer["vietqr_emv"].partition("5802VN")[2][:6]
            return
        assert re.fullmatch(r"[A-Za-z0-9._/:-]([A-Za-z0-9 ._/:-]{0,23}[A-Za-z0-9._/:-])?", left)
        again = output(both, bank="VCB", account="1", memo=left, picture=False)
        assert again["napas_payload"]["memo"] == left
        assert again["warnings"] == []

    @property_test
    @given(memo=st.text("aăâeêioôơuưyđAĂĐ áàảãạấầẩẫậ", max_size=25))
    def test_composed_and_decomposed_give_the_same(self, both: Both, memo: str) -> None:
        first, second = (
            output(both, bank="VCB", account="1", memo=unicodedata.normalize(form, memo), picture=False)
            for form in ("NFC", "NFD")
        )
        assert first == second
        assert first["napas_payload"]["memo"] is None or first["napas_payload"]["memo"].isascii()


class TestAddress:
    @property_test
    @given(request=REQUESTS, name=st.text(max_size=20))
    def test_says_what_is_asked(self, both: Both, request: dict[str, Any], name: str) -> None:
        answer = output(both, **request, account_name=name, picture=False)
        if "card" in request:
            assert answer["render_url"] is None
            return
        parts = urlsplit(answer["render_url"])
        code = answer["napas_payload"]["beneficiary"]["bank_code"]
        assert f"{parts.scheme}://{parts.netloc}" == "https://img.vietqr.io"
        assert parts.path == f"/image/{code}-{request['account']}-compact2.png"
        query = parse_qs(parts.query, strict_parsing=bool(parts.query))
        assert query.get("amount") == ([str(request["amount_vnd"])] if "amount_vnd" in request else None)
        assert query.get("addInfo") == ([request["memo"]] if "memo" in request else None)
        assert all(re.fullmatch("[A-Z0-9 ._/:-]+", shown) for shown in query.get("accountName", []))


@pytest.fixture(scope="module")
def symbols(both: Both) -> list[tuple[str, Modules]]:
    """Texts with the modules of their pictures."""
    requests = [asked(transfer) for transfer in generated(SYMBOLS, 18004, BINS)]
    # Texts that version 5 holds are too rare to come by chance.
    requests += [{"bank": bin_, "account": number} for bin_ in BINS[:3] for number in ("7", "30", "123")]
    answers = [output(both, **request, picture=True) for request in requests]
    return [(answer["vietqr_emv"], raster(answer["assets"][0]["content"])) for answer in answers]


class TestPicture:
    def test_generated_symbols_are_of_every_version_that_can_be(
        self, symbols: list[tuple[str, Modules]]
    ) -> None:
        assert {(len(modules) - 17) // 4 for _, modules in symbols} == {5, 6, 7, 8}
        assert len({mask_of(modules) for _, modules in symbols}) >= 4

    def test_segno_draws_the_same(
        self, symbols: list[tuple[str, Modules]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # segno 1.6 adds eight bits where none are missing, and so a codeword of zeros before the padding.
        def padding(buffer: Any, version: int, length: int) -> None:
            buffer.extend([0] * (-length % 8))

        monkeypatch.setattr(segno.encoder, "write_padding_bits", padding)
        for text, modules in symbols:
            # Its choice of a mask leaves out the format information; the standard takes the whole symbol.
            other = segno.make(
                text.encode(), error="m", mode="byte", boost_error=False, micro=False, mask=mask_of(modules)
            )
            assert [list(row) for row in other.matrix] == modules, text

    def test_segno_draws_the_same_as_it_is_where_nothing_is_padded(self, both: Both) -> None:
        # 84 characters fill version 5.
        answer = output(both, bank="VCB", account="777", picture=True)
        assert len(answer["vietqr_emv"]) == 84
        modules = raster(answer["assets"][0]["content"])
        other = segno.make(
            answer["vietqr_emv"].encode(), error="m", mode="byte", boost_error=False, mask=mask_of(modules)
        )
        assert [list(row) for row in other.matrix] == modules

    def test_node_qrcode_draws_the_same(self, symbols: list[tuple[str, Modules]], twins: Twins) -> None:
        encode = twins.reference.modules["qr"].encode_qr
        every_mask = [(text, unpacked(encode(text, mask))) for text, _ in symbols[-12:] for mask in range(8)]
        wanted = [{"text": text, "mask": mask_of(modules)} for text, modules in symbols + every_mask]
        others = ask_oracles(symbols=wanted)["symbols"]
        for (text, modules), other in zip(symbols + every_mask, others, strict=True):
            assert other["rows"] == ["".join(map(str, row)) for row in modules], text

    def test_mask_is_the_one_of_the_lowest_penalty(
        self, symbols: list[tuple[str, Modules]], twins: Twins
    ) -> None:
        encode = twins.reference.modules["qr"].encode_qr
        for text, modules in symbols[:40]:
            masked = [unpacked(encode(text, mask)) for mask in range(8)]
            assert [mask_of(rows) for rows in masked] == [*range(8)]
            penalties = [penalty(rows) for rows in masked]
            assert modules == masked[penalties.index(min(penalties))]

    def test_is_well_formed_and_named(self, both: Both) -> None:
        [picture] = output(both, bank="VCB", account="0011001234567", amount_vnd=5, picture=True)["assets"]
        assert (picture["name"], picture["media_type"]) == ("vietqr.svg", "image/svg+xml")
        root = ET.fromstring(picture["content"])  # noqa: S314
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root[0].text == "VietQR: Vietcombank, account 0011001234567, 5 VND"
        assert root.attrib["shape-rendering"] == "crispEdges"

    def test_is_drawn_on_request_alone(self, both: Both) -> None:
        answer = output(both, bank="VCB", account="1", picture=True)
        del answer["assets"]
        assert output(both, bank="VCB", account="1", picture=False) == answer
        assert output(both, bank="VCB", account="1") == answer


class TestBanks:
    def test_every_code_name_and_bin_leads_to_its_bank(self, both: Both) -> None:
        for bank in BANKS["banks"]:
            for known in {bank["code"], bank["name"], bank["bin"], *bank["aliases"]}:
                for written in (known, known.lower(), f" {known.upper()} "):
                    found = output(both, bank=written, account="1", picture=False)
                    assert found["napas_payload"]["beneficiary"]["bank_bin"] == bank["bin"]

    def test_table_is_whole(self) -> None:
        assert BANKS["as_of"] == "2026-11-20"
        assert len(BINS) == len(set(BINS)) == 57
        names = [
            known.upper()
            for bank in BANKS["banks"]
            for known in {bank["code"], bank["name"], *bank["aliases"]}
        ]
        assert len({*names}) == len(set(BINS) | set(names)) - len(BINS)
        for bank in BANKS["banks"]:
            assert re.fullmatch(r"\d{6}", bank["bin"])
            assert bank["valid_from"] is None
            assert bank["valid_to"] is None

    def test_a_library_knows_the_same_bins(self) -> None:
        known = ask_oracles()["banks"]
        assert set(BINS) <= set(known)

    def test_an_ambiguous_code_names_both_banks(self, both: Both) -> None:
        answer = both('{"bank":"bvb","account":"1"}')
        assert not answer.ok
        assert answer.text.startswith("bank_ambiguous: BVB can be BaoVietBank (970438) or BVBank (970454)")


class TestDocumentation:
    def test_examples_are_the_start_of_real_answers(self, both: Both) -> None:
        text = (SKILL / "SKILL.md").read_text(encoding="utf-8")
        examples = re.findall(
            r"`(\{\"[^`]*?\})` ?.*?```json\n(\{.*?)\}\n```", text.partition("## Examples")[2], re.DOTALL
        )
        assert len(examples) == 2
        for given_input, start in examples:
            assert both(given_input).text.startswith(start + ",")

    def test_every_field_reason_and_warning_is_described(self, both: Both, twins: Twins) -> None:
        text = (SKILL / "SKILL.md").read_text(encoding="utf-8")
        words = {*output(both, bank="VCB", account="1"), *twins.reference.modules["decode"].REASONS}
        for fixture in fixtures_of(SKILL):
            if not fixture.fails:
                answer = json.loads(fixture.answer)
                words |= {*answer["warnings"]} | ({*answer} - {"card", "as_of", "verify"})
        for word in words:
            assert f"| `{word}` " in text, word

    def test_every_reason_and_warning_has_a_fixture(self, twins: Twins) -> None:
        seen: set[str] = set()
        for fixture in fixtures_of(SKILL):
            if not fixture.fails:
                answer = json.loads(fixture.answer)
                seen |= {answer.get("reason", ""), *answer["warnings"]}
        assert {*twins.reference.modules["decode"].REASONS} <= seen


# Pieces of VietQR in any order: tags, lengths and values that fit, and some that do not.
PIECES = st.lists(
    st.sampled_from(
        [
            *(
                "000201",
                "010211",
                "010212",
                "5303704",
                "5802VN",
                "54045000",
                "62080804memo",
                "6304",
                "6304ABCD",
            ),
            "38540010A00000072701240006970436011010123456780208QRIBFTTA",
            *(
                "38",
                "0010A000000727",
                "0208QRIBFTTC",
                "0006970436",
                "99",
                "00",
                "x",
                " ",
                "đ",
                "\n",
                "\uff10",
            ),
        ]
    ),
    max_size=10,
).map("".join)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class TestParity:
    @property_test
    @given(text=st.text(st.characters(codec="utf-8"), max_size=200) | PIECES)
    def test_on_texts_to_read(self, both: Both, text: str) -> None:
        answer = output(both, decode=text)
        assert answer["ok"] is ("reason" not in answer)

    @property_test
    @given(text=PIECES)
    def test_on_texts_with_a_right_check_sum(self, both: Both, twins: Twins, text: str) -> None:
        if text.isascii():
            text += "6304"
            output(both, decode=text + twins.reference.modules["vietqr"].crc_of(text))

    @property_test
    @given(request=REQUESTS)
    def test_on_pictures(self, both: Both, request: dict[str, Any]) -> None:
        output(both, **{**request, "picture": True})

    @property_test
    @given(
        fields=st.dictionaries(
            st.sampled_from(
                ["bank", "account", "card", "amount_vnd", "memo", "account_name", "picture", "decode"]
            ),
            JSON_VALUES | st.sampled_from(["VCB", "970436", "0011001234567", "9704361234567890", 5, True]),
        )
    )
    def test_on_json_values(self, both: Both, fields: dict[str, object]) -> None:
        answer = both(json.dumps(fields))
        assert answer.ok or re.match("(input_invalid|bank_unknown|bank_ambiguous): ", answer.text)


def test_component_imports_nothing(twins: Twins) -> None:
    assert twins.guest.imports() == {}
