"""Secrets from files and variables, and taking them out of texts in every form that is promised."""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subgraph.capabilities.patterns import PatternError
from subgraph.capabilities.urls import normalise_url
from subgraph.execution.host import HostCallError
from subgraph.execution.host.secrets import SECRET_LIMIT, SHORT_SECRET, Redactor, SecretStore


def test_a_file_comes_before_a_variable(tmp_path: Path) -> None:
    store = SecretStore(
        tmp_path, {"SKILL_SECRET_A": "from the variable", "SKILL_SECRET_B": "other", "C": "no"}
    )
    (tmp_path / "A").write_text("from the file\n")
    assert store.read("A") == "from the file"
    assert store.read("B") == "other"
    with pytest.raises(HostCallError, match="there is no secret C; put a file C into CYBEROS_SECRETS_DIR"):
        store.read("C")
    assert SecretStore(None, {"SKILL_SECRET_B": "other"}).read("B") == "other"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"a", "a"),
        (b"a\n", "a"),
        (b"a\r\n", "a"),
        (b"a\n\n", "a\n"),
        (b" a ", " a "),
        (b"", ""),
        ("đ".encode(), "đ"),
    ],
)
def test_one_newline_at_the_end_is_of_the_file(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "A").write_bytes(content)
    assert SecretStore(tmp_path, {}).read("A") == value


def test_links_are_followed_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "A").write_text("value")
    (tmp_path / "A").symlink_to("..data/A")
    assert SecretStore(tmp_path, {}).read("A") == "value"


def test_what_is_no_secret_is_told_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "FOLDER").mkdir()
    os.mkfifo(tmp_path / "PIPE")
    (tmp_path / "BINARY").write_bytes(b"\xff")
    (tmp_path / "HUGE").write_text("x" * (SECRET_LIMIT + 1))
    (tmp_path / "LOOP").symlink_to("LOOP")
    (tmp_path / "MOST").write_text("x" * SECRET_LIMIT)
    store = SecretStore(tmp_path, {"SKILL_SECRET_ODD": "\udcff"})
    for name, reason in {
        "FOLDER": "no regular file",
        "PIPE": "no regular file",
        "BINARY": "not UTF-8",
        "HUGE": "more than",
        "LOOP": "cannot be read",
        "ODD": "not UTF-8",
    }.items():
        with pytest.raises(HostCallError, match=reason) as caught:
            store.read(name)
        assert str(tmp_path) not in caught.value.message
    assert len(store.read("MOST")) == SECRET_LIMIT


@pytest.mark.parametrize("name", ["../A", "a", "A/B", "", ".", "A\0", "A\n"])
def test_names_are_checked_again(tmp_path: Path, name: str) -> None:
    with pytest.raises(PatternError):
        SecretStore(tmp_path, {}).read(name)


def test_a_file_that_everybody_may_read_is_warned_about_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "OPEN").write_text("value")
    (tmp_path / "OPEN").chmod(0o644)
    (tmp_path / "CLOSED").write_text("value")
    (tmp_path / "CLOSED").chmod(0o600)
    store = SecretStore(tmp_path, {})
    for name in ("OPEN", "CLOSED", "OPEN"):
        store.read(name)
    (record,) = caplog.records
    assert "the secret OPEN" in record.getMessage()
    assert "value" not in record.getMessage()


SECRET = 'S3cret/Key+With=odd "chars" & ư'


def forms(value: str) -> dict[str, str]:
    """How a value is written in a longer text."""
    data = value.encode()
    quoted = urllib.parse.quote(value, safe="")
    return {f"base64 at {n}": base64.b64encode(b"x" * n + data + b"yz").decode() for n in range(4)} | {
        "plain": value,
        "JSON": json.dumps(value),
        "JSON in UTF-8": json.dumps(value, ensure_ascii=False),
        "JSON with slashes escaped": json.dumps(value).replace("/", "\\/"),
        "repr": repr(value),
        "ascii": ascii(value),
        "percent": quoted,
        "percent in lower case": re.sub("%..", lambda found: found[0].lower(), quoted),
        "a path": urllib.parse.quote(value),
        "a form": urllib.parse.quote_plus(value),
        "hexadecimal": data.hex(),
        "hexadecimal in upper case": data.hex().upper(),
        "base64 for URLs": base64.urlsafe_b64encode(data).decode(),
        "base64 without its end": base64.b64encode(data).decode().rstrip("="),
        "lower case": "".join(c.lower() if c.isascii() else c for c in value),
        "upper case": "".join(c.upper() if c.isascii() else c for c in value),
    }


@pytest.mark.parametrize("form", forms(SECRET))
def test_a_secret_is_found_in_each_promised_form(form: str) -> None:
    redactor = Redactor()
    redactor.add("TAX", SECRET)
    redacted = redactor.redact(f"before {forms(SECRET)[form]} after")
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    assert "[secret TAX]" in redacted
    middle = SECRET.encode()[4:12]
    for piece in ("s3cret", "with", middle.hex(), base64.b64encode(SECRET.encode()).decode()[4:16].lower()):
        assert piece not in redacted.lower()


@settings(max_examples=500)
@given(
    st.text(min_size=SHORT_SECRET + 1, max_size=40),
    st.text(max_size=20),
    st.text(max_size=20),
    st.sampled_from(sorted(forms(SECRET))),
)
def test_any_secret_is_found_in_any_text(value: str, before: str, after: str, form: str) -> None:
    redactor = Redactor()
    redactor.add("X", value)
    redacted = redactor.redact(before + forms(value)[form] + after)
    assert "[secret X]" in redacted
    assert value not in redacted or value in "[secret X]"


@pytest.mark.parametrize(
    "url",
    [
        "https://a.vn/{}/x",
        "https://{}.a.vn/",
        "https://a.vn/%61{}",
    ],
)
@pytest.mark.parametrize("value", ["AbCdEf123456", "k3y-With_odd.chars~"])
def test_a_secret_is_found_in_an_address_as_it_is_recorded(url: str, value: str) -> None:
    if "//{}" in url and not value.isalnum():
        value = "AbCd-Ef-123456"
    redactor = Redactor()
    redactor.add("X", value)
    assert "[secret X]" in redactor.redact(normalise_url(url.format(value)).recorded)


def test_a_secret_is_found_in_a_path_with_what_needs_no_escape() -> None:
    redactor = Redactor()
    redactor.add("X", "ab/cd+ef=gh đ")
    assert (
        redactor.redact(normalise_url("https://a.vn/ab/cd+ef=gh%20đ").recorded) == "https://a.vn/[secret X]"
    )


def test_lines_of_a_secret_are_secret_too() -> None:
    redactor = Redactor()
    redactor.add("KEY", "-----BEGIN-----\nMIIEvQIBADANBgkq\nshort\n")
    redacted = redactor.redact("of MIIEvQIBADANBgkq and short")
    assert redacted == "of [secret KEY] and short"


@pytest.mark.parametrize("value", ["a", "pin", "123456"])
def test_a_text_with_a_short_secret_is_withheld_as_a_whole(value: str) -> None:
    redactor = Redactor()
    redactor.add("PIN", value)
    assert redactor.redact(f"x{value.upper()}y") == "[withheld: it may hold the secret PIN]"
    assert redactor.redact("zzz") == "zzz"


def test_overlapping_secrets_leave_no_rest() -> None:
    redactor = Redactor()
    redactor.add("A", "abcdefgh")
    redactor.add("B", "efghijkl")
    assert redactor.redact("-abcdefghijkl-") == "-[secret A]-"
    redactor.add("C", "xyxyxyxy")
    assert redactor.redact("xyxyxyxyxyxy") == "[secret C]"


def test_an_empty_secret_hides_nothing() -> None:
    redactor = Redactor()
    redactor.add("EMPTY", "")
    assert redactor.redact("text") == "text"


def test_places_stay_where_they_are_beside_letters_that_change_their_length() -> None:
    redactor = Redactor()
    redactor.add("X", "Secret-Value")
    assert redactor.redact("İİİ SECRET-VALUE İİİ") == "İİİ [secret X] İİİ"
    assert redactor.redact("\ud800 secret-value \udcff") == "\ud800 [secret X] \udcff"


def test_nothing_that_holds_secrets_shows_them(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.add("X", "Secret-Value")
    assert repr(redactor) == "Redactor(1 secrets)"
    assert repr(SecretStore(tmp_path, {"SKILL_SECRET_A": "value"})) == "SecretStore(…)"
