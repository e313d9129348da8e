"""Settings: what is refused says which variable, and nothing is served to strangers by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from subgraph.settings import Settings


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CYBEROS_{name.upper()}", raising=False)


def test_everything_has_a_default() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.authenticated) == ("127.0.0.1", 8000, False)
    assert settings.home == Path("~/.cyberos").expanduser()
    assert settings.workers >= 2
    assert settings.builtin_skills_dir.is_dir()
    assert settings.sql_dir.is_dir()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", "127.0.0.2", ""])  # noqa: S104
def test_other_addresses_than_loopback_need_authentication(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("CYBEROS_HOST", host)
    with pytest.raises(
        ValidationError, match="without authentication: set CYBEROS_JWKS_URL or CYBEROS_JWT_KEY"
    ):
        Settings()
    monkeypatch.setenv("CYBEROS_JWT_KEY", "s" * 32)
    monkeypatch.setenv("CYBEROS_JWT_AUDIENCE", "cyberos")
    assert Settings().authenticated


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_none(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("CYBEROS_HOST", host)
    assert Settings().host == host


@pytest.mark.parametrize("name", ["CYBEROS_JWT_KEY", "CYBEROS_JWKS_URL"])
def test_authentication_needs_an_audience(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "https://issuer/" + "x" * 32)
    with pytest.raises(ValidationError, match="CYBEROS_JWT_AUDIENCE must name this service"):
        Settings()
    monkeypatch.setenv("CYBEROS_JWT_AUDIENCE", "")
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"), ("port", "-1"), ("port", "http"), ("workers", "0"), ("workers", "257"),
        ("queue_limit", "0"), ("time_limit_ms", "9"), ("time_limit_ms", "600001"),
        ("memory_limit_bytes", "1"),
        ("output_limit_bytes", "1023"), ("input_limit_bytes", "0"), ("database_connections", "0"),
        ("introspection", "perhaps"), ("jwt_issuer", ""),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CYBEROS_{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


def test_skill_roots_are_separated_as_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYBEROS_SKILL_ROOTS", "/a b::~/skills:relative:")
    roots = Settings().skill_roots
    assert roots == (Path("/a b"), Path("~/skills").expanduser(), Path("relative").absolute())


def test_secrets_are_not_shown() -> None:
    text = repr(Settings(jwt_key="very-secret" * 4, jwt_audience="a", database_url="postgresql://u:pw@h/d"))  # type: ignore[arg-type]
    assert "very-secret" not in text
    assert "pw@h" not in text


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1


def test_tokens_are_checked_by_a_key_or_by_a_key_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYBEROS_JWT_KEY", "x" * 32)
    monkeypatch.setenv("CYBEROS_JWKS_URL", "https://login.example.com/keys")
    monkeypatch.setenv("CYBEROS_JWT_AUDIENCE", "skills")
    with pytest.raises(ValidationError, match="not both"):
        Settings()
