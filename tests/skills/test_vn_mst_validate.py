from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stdnum.vn import mst as oracle

from subgraph.execution.confinement import NOTHING
from subgraph.execution.script_pool import Script
from tests.execution.scripts import LIMITS, Scripts, scripts
from tests.support.kernel import needs_script_confinement
from tests.support.parity import SKILLS, Reference, Twins, fixtures_of
from tests.support.toolchain import Answer

SKILL = SKILLS / "cyberskill-vn" / "vn-mst-validate"
SCRIPT = SKILL / "scripts" / "validate_mst.py"
FIXTURES = {fixture.id: fixture for fixture in fixtures_of(SKILL)}
ORACLE_CASES = 3_000
DIGITS = "0123456789"

Both = Callable[[str], Answer]

property_test = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def twins() -> Twins:
    return Twins(SKILL)


@pytest.fixture(scope="module")
def both(twins: Twins) -> Both:
    return twins.ask


def request(mst: object, **fields: object) -> str:
    return json.dumps({"mst": mst, **fields})


def output(both: Both, mst: str, **fields: object) -> dict[str, Any]:
    answer = both(request(mst, **fields))
    assert answer.ok, answer.text
    parsed: dict[str, Any] = json.loads(answer.text)
    return parsed


def run_script(text: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, SCRIPT], input=text, capture_output=True, check=False)


class TestScript:
    @pytest.mark.parametrize("fixture_id", ["quickstart", "full-width-digits", "all-zero"])
    def test_prints_the_answer_and_nothing_else(self, fixture_id: str) -> None:
        fixture = FIXTURES[fixture_id]
        done = run_script(fixture.text.encode())
        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, fixture.answer, b"")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (b'{"mst":1}', 'the field "mst" must be a string, because a number loses its leading zeros'),
            (b'{"mst":"\xff"}', "the input is not valid JSON"),
            (b'{"mst":"\xed\xa0\x80"}', "the input is not valid JSON"),
            (b" " * 1_000_000, "the input has more than 4096 characters"),
            (b" " * 4097, "the input has more than 4096 characters"),
        ],
        ids=["number", "not-utf-8", "surrogate-in-utf-8", "a-megabyte", "one-too-many"],
    )
    def test_reports_a_bad_input_and_exits_with_1(self, text: bytes, message: str) -> None:
        done = run_script(text)
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.decode() == f"input_invalid: {message}\n"


class TestQuickstart:
    def test_starts_with_what_the_documentation_prints(self, both: Both) -> None:
        answer = both('{"mst":"0123456789-001"}')
        assert answer.text.startswith('{"ok":true,"format":"13-digit-branch","checksum_ok":false,')
        assert both('{"mst":"0100109106"}').text.startswith('{"ok":true,"format":"10-digit",')

    def test_strict_turns_the_warning_into_a_refusal(self, both: Both) -> None:
        lenient = output(both, "0123456789-001")
        strict = output(both, "0123456789-001", strict=True)
        assert (strict.pop("ok"), strict.pop("reason")) == (False, "check_digit_mismatch")
        del lenient["ok"], strict["message"]
        assert strict == lenient


class TestDocumentation:
    def test_examples_are_the_start_of_real_answers(self, both: Both) -> None:
        text = (SKILL / "SKILL.md").read_text(encoding="utf-8")
        examples = re.findall(r"`(\{\"mst\".*?\})`.*?```json\n(\{.*?)\}\n```", text, re.DOTALL)
        assert len(examples) == 3
        for given_input, start in examples:
            assert both(given_input).text.startswith(start + ",")

    def test_every_reason_and_field_is_described(self, both: Both) -> None:
        text = (SKILL / "SKILL.md").read_text(encoding="utf-8")
        fields = {*output(both, "0100109107", strict=True)}
        for word in fields | {*Reference(SKILL).modules["tax_code"].REASONS}:
            assert f"| `{word}` |" in text

    def test_vectors_of_the_reference_hold(self, both: Both) -> None:
        text = (SKILL / "references" / "tax-code-format.md").read_text(encoding="utf-8")
        table = text.partition("## Vectors")[2].partition("## Law")[0]
        rows = re.findall(r"^\| ([\d, -]+\d) \| (\S+) \| (\w*)", table, re.MULTILINE)
        assert len(rows) == 4
        for codes, form, digit in rows:
            for code in codes.split(", "):
                answer = output(both, code)
                assert answer["format"] == (None if form == "none" else form.strip("`"))
                assert answer.get("checksum_ok") is {"right": True, "wrong": False}.get(digit)


class TestOracle:
    """python-stdnum, an independent implementation of the same rules."""

    def test_agrees_on_generated_codes(self, both: Both) -> None:
        choice = random.Random(20261120)  # noqa: S311
        valid = 0
        for number in range(ORACLE_CASES):
            digits = "".join(choice.choices(DIGITS, k=9))
            if number % 50 == 0:
                digits = digits[:2] + "0" * 7
            # Every other code gets the check digit that is due, where there is one.
            due = oracle.calc_check_digit(digits)
            last = due if number % 2 and len(due) == 1 else choice.choice(DIGITS)
            branch = choice.choice(["", "", "001", "-001", "-000", "-999", f"-{choice.randrange(1000):03}"])
            code = digits + last + branch
            answer = output(both, code)
            assert (answer["ok"] and answer["checksum_ok"]) == oracle.is_valid(code), code
            valid += oracle.is_valid(code)
        assert valid > ORACLE_CASES // 4

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("0100-109106", "misplaced_hyphen"),
            ("0100109106--001", "misplaced_hyphen"),
            ("01.00.109.106", "unexpected_character"),
            ("0100 109106", "unexpected_character"),
            ("0100109106\u2010001", "unexpected_character"),
        ],
    )
    def test_is_wrong_about_separators(self, both: Both, code: str, reason: str) -> None:
        assert oracle.is_valid(code)
        assert output(both, code)["reason"] == reason

    def test_does_not_know_the_personal_id(self, both: Both) -> None:
        assert not oracle.is_valid("079203012345")
        assert output(both, "079203012345")["format"] == "12-digit-personal-id"


# Text in which digits, hyphens, blanks and their look-alikes are frequent enough to come near a tax code.
NOISY_DIGITS = st.text(
    st.one_of(
        st.sampled_from(DIGITS),
        st.sampled_from("-- \t\n\u00a0\u2010\u2013\uff10\uff11\u0661\u0301\U0001d7ce\x00"),
        st.characters(codec="utf-8"),
    ),
    max_size=20,
)
NEAR_CODES = st.from_regex(r"[ \t]{0,2}[0-9]{9,13}-?[0-9]{0,3}[ \n]{0,2}", fullmatch=True)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
# Pieces of JSON in any order: most are broken in a way in which parsers might differ.
JSON_PIECES = st.lists(
    st.sampled_from(
        [
            *'{}[]:,"\\/ \t\n\r\v\f\x00\x1f\x7f-+.eE01',
            *("\ufeff", "\u00a0", "\u2028", "NaN", "Infinity", "true", "false", "null", "True"),
            *("//", "/*", "*/", "#", "'", "1e999", "01", "-0", "0x1", "1_0", "1n", '"__proto__"'),
            *('"mst"', '"strict"', '"0100109106"', '"\\u0030"', '"\\ud800"', '"\\x30"', '"\\u{30}"'),
            *('{"mst":', '{"mst":"0100109106"', ',"strict":true}'),
        ]
    ),
    max_size=12,
).map("".join)


class TestParity:
    @property_test
    @given(text=st.text(st.characters(codec="utf-8")))
    def test_on_any_text(self, both: Both, text: str) -> None:
        both(text)

    @property_test
    @given(text=JSON_PIECES)
    def test_on_pieces_of_json(self, both: Both, text: str) -> None:
        both(text)

    @property_test
    @given(mst=NOISY_DIGITS, strict=st.booleans())
    def test_on_digits_with_noise(self, both: Both, mst: str, strict: bool) -> None:
        answer = output(both, mst, strict=strict)
        assert answer["ok"] is (answer["format"] is not None and "reason" not in answer)

    @property_test
    @given(mst=NEAR_CODES, strict=st.booleans())
    def test_on_codes_and_near_misses(self, both: Both, mst: str, strict: bool) -> None:
        answer = output(both, mst, strict=strict)
        if answer["format"]:
            # What is recognised stays so in its normal form, with the same verdict.
            assert output(both, answer["normalized"], strict=strict) == answer

    @property_test
    @given(mst=JSON_VALUES, strict=JSON_VALUES)
    def test_on_json_values(self, both: Both, mst: object, strict: object) -> None:
        answer = both(request(mst, strict=strict))
        assert answer.ok or answer.text.startswith("input_invalid: ")

    @pytest.mark.parametrize(
        ("text", "refused"),
        [
            ('{"mst":"' + "\U0001d7ce" * 4086 + '"}', False),
            ('{"mst":"' + "\U0001d7ce" * 4087 + '"}', True),
            ("\U0001d7ce" * 4096 + "1", True),
            ("[" * 1_000_000, True),
            ("\\" * 4096, False),
        ],
        ids=["longest", "one-too-many", "one-too-many-of-wide", "a-megabyte", "backslashes"],
    )
    def test_at_the_bounds(self, both: Both, text: str, refused: bool) -> None:
        assert ("has more than 4096 characters" in both(text).text) is refused


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scripts]:
    with scripts(tmp_path_factory.mktemp("unused")) as opened:
        yield opened


@needs_script_confinement
class TestConfinedScript:
    """The script as the service runs it, beside the component."""

    @pytest.fixture(params=["isolated", "shared"])
    def mode(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def confined(self, executor: Scripts, twins: Twins, mode: str) -> Both:
        """Ask the script in a worker and the component, which must agree to the byte."""
        entry = SKILL / "scripts" / "validate_mst.py"
        script = Script("hash", entry, SKILL, shared=mode == "shared")

        def ask(text: str) -> Answer:
            reply = executor.loop.run(executor.pool.run(script, text, LIMITS, NOTHING))
            assert reply.exit_code in {0, 1}, reply
            answer = Answer(ok=reply.exit_code == 0, text=reply.output or reply.error or "")
            assert answer == twins.guest.call(text)
            return answer

        return ask

    @settings(property_test, max_examples=60)
    @given(text=st.text(st.characters(codec="utf-8")) | JSON_PIECES)
    def test_agrees_on_any_text(self, confined: Both, text: str) -> None:
        confined(text)

    @settings(property_test, max_examples=60)
    @given(mst=NOISY_DIGITS | NEAR_CODES, strict=st.booleans())
    def test_agrees_on_codes_and_near_misses(self, confined: Both, mst: str, strict: bool) -> None:
        assert confined(request(mst, strict=strict)).ok


def test_component_imports_nothing(twins: Twins) -> None:
    assert twins.guest.imports() == {}
