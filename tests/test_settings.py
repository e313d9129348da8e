"""Settings: what is refused says which variable, and nothing is served to strangers by mistake."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from subgraph.settings import Settings, load_settings


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
        ("llm_model", ""), ("llm_timeout_ms", "49"), ("llm_timeout_ms", "60001"), ("llm_temperature", "-0.1"),
        ("llm_temperature", "2.1"), ("llm_temperature", "nan"), ("llm_seed", "-1"),
        ("llm_seed", "2147483648"), ("llm_retries", "-1"), ("llm_retries", "6"),
        ("llm_threads_days", "0"), ("llm_threads_days", "3651"),
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


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.example/v1", "https://gateway.example:8443", "http://127.0.0.1:4000/v1",
        "http://localhost:4000", "http://[::1]:4000/v1",
    ],
)  # fmt: skip
def test_a_gateway_is_reached_by_https_or_on_this_machine(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CYBEROS_LLM_URL", url)
    monkeypatch.setenv("CYBEROS_LLM_MODEL", "m")
    assert Settings().llm_url == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://gateway.example/v1", "must be https"),
        ("http://127.0.0.2/v1", "must be https"),
        ("https://user:secret@gateway.example/v1", "must not hold a password"),
        ("https://user@gateway.example/v1", "must not hold a password"),
        ("ftp://gateway.example", "is written as"),
        ("gateway.example/v1", "is written as"),
        ("https:///v1", "is written as"),
        ("https://gateway.example:port/v1", "is written as"),
        ("https://[gateway/v1", "is written as"),
        ("https://gateway.example/v1?key=secret", "is written as"),
        ("https://gateway.example/v1#a", "is written as"),
    ],
)
def test_no_other_address_is_a_gateway(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    monkeypatch.setenv("CYBEROS_LLM_URL", url)
    monkeypatch.setenv("CYBEROS_LLM_MODEL", "m")
    with pytest.raises(ValueError, match=f"CYBEROS_LLM_URL {message}") as caught:
        load_settings(os.environ)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["CYBEROS_LLM_URL", "CYBEROS_LLM_MODEL", "CYBEROS_LLM_API_KEY"])
def test_half_a_gateway_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "https://gateway.example/v1")
    with pytest.raises(ValueError, match=r"\A.*CYBEROS_LLM_URL") as caught:
        load_settings(os.environ)
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["CYBEROS_JWT_AUDIENCE"], "CYBEROS_JWT_AUDIENCE is"),
        (["CYBEROS_JWT_ISSUER"], "CYBEROS_JWT_ISSUER is"),
        (["CYBEROS_JWT_AUDIENCE", "CYBEROS_JWT_ISSUER"], "CYBEROS_JWT_AUDIENCE and CYBEROS_JWT_ISSUER are"),
    ],
)
def test_half_an_authentication_is_no_service_for_everybody(
    monkeypatch: pytest.MonkeyPatch, given: list[str], names: str
) -> None:
    for name in given:
        monkeypatch.setenv(name, "https://issuer.example")
    with pytest.raises(ValueError, match=rf"\A{names} .*set CYBEROS_JWKS_URL or CYBEROS_JWT_KEY too"):
        load_settings(os.environ)
    monkeypatch.setenv("CYBEROS_JWT_AUDIENCE", "skills")
    monkeypatch.setenv("CYBEROS_JWT_KEY", "s" * 32)
    assert load_settings(os.environ).authenticated


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("bucket", "is written as s3://bucket"),
        ("https://bucket", "is written as s3://bucket"),
        ("s3://", "is written as s3://bucket"),
        ("s3://bucket//prefix", "is written as s3://bucket"),
        ("s3://b", "3 to 63 characters; 'b' has 1"),
        ("s3://" + "b" * 64, "3 to 63 characters; .* has 64"),
        ("s3://Bucket", "lower-case letters"),
        ("s3://my_bucket", "lower-case letters"),
        ("s3://bucket-", "ends with a letter or a digit"),
        ("s3://bucket/tiền-tố", "the prefix"),
    ],
)
def test_what_is_wrong_with_a_bucket_is_said(
    monkeypatch: pytest.MonkeyPatch, address: str, cause: str
) -> None:
    monkeypatch.setenv("CYBEROS_CHECKPOINT_BUCKET", address)
    with pytest.raises(ValueError, match=rf"\ACYBEROS_CHECKPOINT_BUCKET: .*{cause}"):
        load_settings(os.environ)


@pytest.mark.parametrize("address", ["s3://abc", "s3://" + "b" * 63, "s3://a.b-c/d_e/(f)/"])
def test_other_buckets_can_be(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("CYBEROS_CHECKPOINT_BUCKET", address)
    assert Settings().checkpoint_bucket == address


@pytest.mark.parametrize("name", ["CYBEROS_HOME", "CYBEROS_WORKSPACE", "CYBEROS_SKILL_ROOTS"])
def test_the_home_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "~nobody-of-this-name/x")
    with pytest.raises(ValueError, match=f"{name}: .*account that is not known"):
        load_settings(os.environ)
