"""The container files, read as text: what they name exists, nothing secret is in them, doors are shut."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import ValidationError

from subgraph.settings import Settings
from tests.support.gateway import compose as compose_supergraph

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVICE_STAGE = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
INSTRUCTIONS = DOCKERFILE.replace("\\\n", " ").splitlines()

NPM_DIRECTORIES = ("docker/supergraph", "tests/browser", "tests/federation", "web/graphiql")

SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY$")
SETTING = re.compile(r"CYBEROS_[A-Z_]+")
REQUIRED = re.compile(r"\$\{[A-Z_]+:\?[^}]+\}")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = document["services"]
    return found


@pytest.fixture(scope="module")
def router() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "router.yaml").read_text(encoding="utf-8"))
    return document


def copied_paths() -> list[str]:
    """What the Dockerfile copies out of the checkout."""
    copies = [line.split()[1:] for line in INSTRUCTIONS if line.startswith("COPY ")]
    return [source for words in copies if "--from=" not in words[0] for source in words[:-1]]


@pytest.mark.parametrize("path", copied_paths())
def test_what_the_image_copies_exists_and_reaches_the_build(path: str) -> None:
    assert (ROOT / path).exists()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    included = [line[1:] for line in ignored if line.startswith("!")]
    assert any(path == entry or path.startswith(f"{entry}/") for entry in included)


def test_images_are_pinned(services: dict[str, Any]) -> None:
    stages = [line.split()[1:] for line in INSTRUCTIONS if line.startswith("FROM ")]
    own = {words[2] for words in stages if len(words) == 3}
    images = [words[0] for words in stages if words[0] not in own]
    images += [line.split("--from=")[1].split()[0] for line in INSTRUCTIONS if "--from=" in line]
    images = [image for image in images if image not in own]
    images += [service["image"] for service in services.values() if "image" in service]
    for image in images:
        _, _, tag = image.rpartition(":")
        assert re.match(r"v?\d", tag), image
    assert re.fullmatch(r".*/router:v2\.\d+\.\d+", services["router"]["image"])


def test_packages_are_installed_by_hash() -> None:
    installs = [line for line in INSTRUCTIONS if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)
    assert not [line for line in INSTRUCTIONS if re.search(r"npm (install|i) ", line)]


def test_service_image_drops_root_and_reports_its_health() -> None:
    assert re.search(r"^USER (?!root|0)", SERVICE_STAGE, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\n.*/readyz", SERVICE_STAGE, re.MULTILINE)
    assert 'ENTRYPOINT ["python", "-m", "subgraph"]' in SERVICE_STAGE


def test_build_targets_exist(services: dict[str, Any]) -> None:
    stages = {line.split()[-1] for line in INSTRUCTIONS if line.startswith("FROM ")}
    targets = {service["build"]["target"] for service in services.values() if "build" in service}
    assert targets == {"service", "supergraph"}
    assert targets <= stages


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    mounts = [mount.split(":")[0] for service in services.values() for mount in service.get("volumes", [])]
    files = [mount for mount in mounts if mount.startswith(".")]
    assert "./docker/router.yaml" in files
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_no_secret_is_written_down_and_none_has_a_default(services: dict[str, Any]) -> None:
    for service in services.values():
        for name, value in service.get("environment", {}).items():
            if SECRET_NAME.search(name):
                assert value is None or REQUIRED.fullmatch(value), name
            else:
                assert urlsplit(str(value)).password is None, name
    assert "DATABASE_PASSWORD:?" in services["database"]["environment"]["POSTGRES_PASSWORD"]


def test_settings_that_are_named_exist(services: dict[str, Any]) -> None:
    named = set(services["service"]["environment"]) | set(SETTING.findall(DOCKERFILE))
    settings = {name for name in named if name.startswith("CYBEROS_")}
    assert settings <= {f"CYBEROS_{field.upper()}" for field in Settings.model_fields}


def test_service_refuses_to_start_in_a_container_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CYBEROS_JWKS_URL", "CYBEROS_JWT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CYBEROS_HOST", "0.0.0.0")  # noqa: S104 - as docker-compose.yml sets it
    monkeypatch.setenv("CYBEROS_JWT_AUDIENCE", "cyberos")
    with pytest.raises(ValidationError, match="without authentication"):
        Settings()


def test_only_the_router_is_published_and_on_loopback_alone(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"router": ["127.0.0.1:4000:4000"]}


def test_service_meets_its_database_and_the_router_alone(services: dict[str, Any]) -> None:
    neighbours = {
        name
        for name, service in services.items()
        if set(service.get("networks", [])) & set(services["service"]["networks"])
    }
    assert neighbours == {"service", "database", "router"}
    assert set(services["database"]["networks"]).isdisjoint(services["router"]["networks"])


@pytest.mark.parametrize("name", ["service", "supergraph", "router"])
def test_containers_hold_no_privileges(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


def test_production_hides_the_schema(services: dict[str, Any], router: dict[str, Any]) -> None:
    assert services["service"]["environment"]["CYBEROS_INTROSPECTION"] == "false"
    assert router["supergraph"]["introspection"] is False
    assert router["sandbox"]["enabled"] is False


def test_router_hands_tokens_and_error_codes_through(router: dict[str, Any]) -> None:
    requests = router["headers"]["subgraphs"]["skills"]["request"]
    assert {"propagate": {"named": "authorization"}} in requests
    assert router["include_subgraph_errors"]["subgraphs"]["skills"] is True


def test_router_listens_where_it_is_published(services: dict[str, Any], router: dict[str, Any]) -> None:
    port = services["router"]["ports"][0].rsplit(":", 1)[1]
    assert router["supergraph"]["listen"] == f"0.0.0.0:{port}"


def test_committed_supergraph_composes_and_leads_to_the_service(services: dict[str, Any]) -> None:
    (port,) = services["service"]["expose"]
    sdl = compose_supergraph(ROOT / "supergraph.yaml")
    assert f'@join__graph(name: "skills", url: "http://service:{port}/graphql")' in sdl


@pytest.mark.parametrize("directory", NPM_DIRECTORIES)
def test_npm_packages_are_exact_and_locked_by_content(directory: str) -> None:
    manifest = json.loads((ROOT / directory / "package.json").read_text(encoding="utf-8"))
    assert [version for version in manifest["dependencies"].values() if not version[0].isdigit()] == []
    lock = json.loads((ROOT / directory / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert [name for name, package in packages.items() if "integrity" not in package] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []
