"""Every setting of the service, read from `CYBEROS_*` environment variables."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})

MIB = 1024 * 1024

LONGEST_TIME_MS = 600_000
"""Wall time of one call, whatever an operator sets."""

_PREFIX = "CYBEROS_"

_BUCKET = re.compile(r"s3://([^/]+)((?:/[^/]+)*)/?")
_BUCKET_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", re.ASCII)
_BUCKET_PREFIX = re.compile(r"[\w!.*'()/-]*", re.ASCII)
_BUCKET_NAME_LENGTHS = range(3, 64)  # those of S3


def refuse_unknown_settings(environment: Mapping[str, str]) -> None:
    """Raise `ValueError` for a `CYBEROS_*` variable that is no setting, which is a misspelt one."""
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such setting; docs/settings.md lists them")


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises `ValueError` with a line for each that is wrong."""
    refuse_unknown_settings(environment)
    try:
        return Settings()
    except ValidationError as error:
        raise ValueError("\n".join(map(_described, error.errors()))) from error


def _described(problem: ErrorDetails) -> str:
    said = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # several settings, which the message names
        return said
    return f"{_PREFIX}{'_'.join(map(str, problem['loc'])).upper()}: {said}"


def bundled(name: str) -> Path:
    """Find a data directory: packed beside the modules in a wheel, at the root of a checkout."""
    package = Path(__file__).parent
    packed = package / "_bundled" / name
    return packed if packed.is_dir() else package.parent / name


def _absolute(path: Path) -> Path:
    """Resolve `~` and what is relative. Raises `ValueError` for the home of an account that there is not."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{path} begins with the home of an account that is not known") from None


def _check_gateway(address: str) -> None:
    """Raise `ValueError` for what is no address, holds a password, or sends queries in clear."""
    no_address = ValueError("CYBEROS_LLM_URL is written as https://host/v1")
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise no_address from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise no_address
    if parts.username is not None or parts.password is not None:
        raise ValueError("CYBEROS_LLM_URL must not hold a password: CYBEROS_LLM_API_KEY is for the key")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
        raise ValueError(
            "CYBEROS_LLM_URL must be https: queries and the key would cross the network in clear; "
            "http is for a gateway on this machine"
        )


def _check_bucket(address: str) -> None:
    """Raise `ValueError` for what is no address of a bucket, or names one that cannot be."""
    parts = _BUCKET.fullmatch(address)
    if parts is None:
        raise ValueError("it is written as s3://bucket or s3://bucket/prefix")
    name, prefix = parts.groups()
    if len(name) not in _BUCKET_NAME_LENGTHS:
        raise ValueError(f"the name of a bucket has 3 to 63 characters; {name[:64]!r} has {len(name)}")
    if _BUCKET_NAME.fullmatch(name) is None:
        raise ValueError(
            "the name of a bucket has lower-case letters, digits, dots and hyphens, and begins and ends "
            "with a letter or a digit"
        )
    if _BUCKET_PREFIX.fullmatch(prefix) is None:
        raise ValueError(
            "the prefix in a bucket has letters of ASCII, digits and !-_.*'() between its slashes"
        )


class PayloadMode(StrEnum):
    """What the audit log keeps of inputs and outputs."""

    COMMITTED = "committed"
    ENCRYPTED = "encrypted"


class Settings(BaseSettings):
    """The service's configuration. Raises `pydantic.ValidationError` for a value that cannot be."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore")

    home: Path = Field(
        default=Path("~/.cyberos"),
        description="Directory of everything the service keeps outside PostgreSQL.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        description="DSN of a PostgreSQL server; unset starts the embedded one.",
    )
    database_connections: int = Field(
        default=4, ge=1, le=100, description="Connections for queries, beside the ledger's own one."
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on; any but loopback needs authentication.",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    jwt_key: SecretStr | None = Field(
        default=None,
        description="Key of bearer tokens: a secret of at least 32 bytes (HS256) or a PEM public key.",
    )
    jwks_url: str | None = Field(
        default=None, description="Address of the JSON Web Key Set that signs bearer tokens."
    )
    jwt_audience: str | None = Field(
        default=None,
        min_length=1,
        description="Audience (`aud`) that a token must name; required with authentication.",
    )
    jwt_issuer: str | None = Field(
        default=None, min_length=1, description="Issuer (`iss`) that a token must name."
    )
    introspection: bool = Field(
        default=True, description="Whether GraphQL introspection and GraphiQL are served."
    )
    skill_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(),
        description="Directories of your own skills, separated by `:`; trusted, source LOCAL.",
    )
    workspace: Path | None = Field(
        default=None,
        description="Directory of the files that skills may be granted; unset is `workspace` below the home.",
    )
    secrets_dir: Path | None = Field(
        default=None,
        description="Directory with a file for each secret that skills may be granted.",
    )
    memory_dir: Path | None = Field(
        default=None, description="Directory of your notes that skills may be let search."
    )
    commands_dir: Path | None = Field(
        default=None,
        description="Directory of programs that trusted skills may be granted to run, outside of the "
        "sandbox.",
    )
    shared_interpreter: bool = Field(
        default=False,
        description="Run scripts of builtin skills in one interpreter, 100 times faster and not isolated "
        "from their own earlier calls.",
    )
    audit_keys_dir: Path | None = Field(
        default=None,
        description="Directory of the keys of the audit log; unset is `audit-keys` below the home.",
    )
    audit_payloads: PayloadMode = Field(
        default=PayloadMode.COMMITTED,
        description="What the audit log keeps of inputs and outputs: `committed` or `encrypted`.",
    )
    audit_origin: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="Name of the audit log in its checkpoints; unset is one with the log's own id.",
    )
    checkpoint_dir: Path | None = Field(
        default=None,
        description="Directory of the audit log's signed checkpoints; unset is `checkpoints` below the home.",
    )
    checkpoint_bucket: str | None = Field(
        default=None, description="Bucket where checkpoints are kept as well: `s3://bucket/prefix`."
    )
    checkpoint_endpoint: str | None = Field(
        default=None, description="Address of the bucket's server, where it is not that of AWS."
    )
    llm_url: str | None = Field(
        default=None,
        description="Address of a gateway that speaks as OpenAI does; unset leaves everything to rules.",
    )
    llm_model: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Name of the model at the gateway; required with one.",
    )
    llm_api_key: SecretStr | None = Field(default=None, description="Key of the gateway, where it wants one.")
    llm_timeout_ms: int = Field(
        default=3000,
        ge=50,
        le=60_000,
        description="Wall time of asking a model about one query, retries included, in milliseconds.",
    )
    llm_temperature: float = Field(
        default=0.0, ge=0, le=2, allow_inf_nan=False, description="Temperature that the model is asked with."
    )
    llm_seed: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Seed that the model is asked with, where it heeds one."
    )
    llm_retries: int = Field(
        default=1, ge=0, le=5, description="Further attempts after a failure that may pass, within that time."
    )
    llm_threads_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days for which LangGraph's copy of a consultation is kept, where payloads are.",
    )
    workers: int = Field(
        default_factory=lambda: max(2, os.cpu_count() or 2),
        ge=1,
        le=256,
        description="Worker processes that run skills; one call each at a time.",
    )
    queue_limit: int = Field(
        default=1024, ge=1, description="Calls that may wait for a worker before `OVERLOADED`."
    )
    time_limit_ms: int = Field(
        default=5000, ge=10, le=LONGEST_TIME_MS, description="Wall time of one call, in milliseconds."
    )
    memory_limit_bytes: int = Field(
        default=64 * MIB, ge=MIB, le=2048 * MIB, description="Memory that one call may add, in bytes."
    )
    output_limit_bytes: int = Field(
        default=MIB, ge=1024, le=256 * MIB, description="Size of what one call returns, in bytes of UTF-8."
    )
    input_limit_bytes: int = Field(
        default=MIB, ge=1024, le=64 * MIB, description="Size of one call's input, in bytes of JSON."
    )

    @field_validator("home", mode="after")
    @classmethod
    def _absolute_home(cls, home: Path) -> Path:
        return _absolute(home)

    @field_validator(
        "workspace",
        "secrets_dir",
        "memory_dir",
        "commands_dir",
        "audit_keys_dir",
        "checkpoint_dir",
        mode="after",
    )
    @classmethod
    def _absolute_or_none(cls, directory: Path | None) -> Path | None:
        return None if directory is None else _absolute(directory)

    @field_validator("skill_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(_absolute(Path(part)) for part in value.split(os.pathsep) if part)
        return value

    @field_validator("checkpoint_bucket", mode="after")
    @classmethod
    def _is_bucket(cls, address: str | None) -> str | None:
        if address is not None:
            _check_bucket(address)
        return address

    @model_validator(mode="after")
    def _have_a_bucket_for_the_endpoint(self) -> Self:
        endpoint = self.checkpoint_endpoint
        if endpoint is not None and not endpoint.startswith(("https://", "http://")):
            raise ValueError("CYBEROS_CHECKPOINT_ENDPOINT is written as https://host or http://host:port")
        if endpoint is not None and self.checkpoint_bucket is None:
            raise ValueError("CYBEROS_CHECKPOINT_ENDPOINT is for a bucket: set CYBEROS_CHECKPOINT_BUCKET too")
        return self

    @model_validator(mode="after")
    def _have_a_whole_gateway(self) -> Self:
        if (self.llm_url is None) is not (self.llm_model is None):
            raise ValueError("set both CYBEROS_LLM_URL and CYBEROS_LLM_MODEL, or neither")
        if self.llm_api_key is not None and self.llm_url is None:
            raise ValueError("CYBEROS_LLM_API_KEY is for a gateway: set CYBEROS_LLM_URL too")
        if self.llm_url is not None:
            _check_gateway(self.llm_url)
        return self

    @model_validator(mode="after")
    def _listen_safely(self) -> Self:
        if self.authenticated and self.jwt_audience is None:
            raise ValueError(
                "CYBEROS_JWT_AUDIENCE must name this service: without it a token that was issued "
                "for another service would be accepted here"
            )
        if self.jwt_key is not None and self.jwks_url is not None:
            raise ValueError("set CYBEROS_JWT_KEY or CYBEROS_JWKS_URL, not both: one of them signs tokens")
        if self.host not in LOOPBACK_HOSTS and not self.authenticated:
            raise ValueError(
                f"refusing to listen on {self.host} without authentication: "
                "set CYBEROS_JWKS_URL or CYBEROS_JWT_KEY, or listen on 127.0.0.1"
            )
        named = {"CYBEROS_JWT_AUDIENCE": self.jwt_audience, "CYBEROS_JWT_ISSUER": self.jwt_issuer}
        given = [name for name, value in named.items() if value is not None]
        if given and not self.authenticated:
            raise ValueError(
                f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} for authentication, and nothing "
                "says what signs tokens: set CYBEROS_JWKS_URL or CYBEROS_JWT_KEY too. Without one whoever "
                "reaches this service is its operator"
            )
        return self

    @property
    def authenticated(self) -> bool:
        """Whether callers must present a bearer token."""
        return self.jwt_key is not None or self.jwks_url is not None

    @property
    def builtin_skills_dir(self) -> Path:
        """The skills that ship with the service."""
        return bundled("skills")

    @property
    def installed_skills_dir(self) -> Path:
        """Skills that were installed from elsewhere; not trusted."""
        return self.home / "skills"

    @property
    def workspace_dir(self) -> Path:
        """The files that skills may be granted, and what they write."""
        return self.workspace or self.home / "workspace"

    @property
    def audit_keys(self) -> Path:
        """The keys of the audit log."""
        return self.audit_keys_dir or self.home / "audit-keys"

    @property
    def checkpoints(self) -> Path:
        """The audit log's signed checkpoints."""
        return self.checkpoint_dir or self.home / "checkpoints"

    @property
    def snapshots_dir(self) -> Path:
        """Verified copies of skills, by content hash."""
        return self.home / "snapshots"

    @property
    def catalog_index(self) -> Path:
        """What is remembered of skills between starts, to index them faster."""
        return self.home / "catalog-index"

    @property
    def sql_dir(self) -> Path:
        """Migrations and named queries."""
        return bundled("sql")

    @property
    def machine_code_dir(self) -> Path:
        """Compiled components, by key."""
        return self.home / "aot"

    @property
    def postgres_dir(self) -> Path:
        """Data directory of the embedded PostgreSQL.

        PostgreSQL refuses to run as root, so under root it runs as another user, who must be able to
        reach this directory: it then lies outside of home directories, one for each `home`.
        """
        if os.geteuid() != 0:
            return self.home / "postgres"
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path("/var/lib/cyberos") / name / "postgres"
