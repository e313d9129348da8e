"""The GraphiQL page and its assets as they are served, from a bundle of three small files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from subgraph.api import graphiql

PAGE = '<!doctype html><script type="module" src="graphiql/graphiql-0123456789abcdef.js"></script>'
SCRIPT = "graphiql-0123456789abcdef.js"


class Client:
    """Requests to an application in this process, without a socket."""

    def __init__(self, application: Starlette) -> None:
        self.application = application

    def request(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(send())

    def get(self, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.request("GET", path, headers)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "graphiql"
    monkeypatch.setattr(graphiql, "BUNDLE_DIR", directory)
    return directory


@pytest.fixture
def client(bundle: Path) -> Client:
    routes = [Route("/graphql", graphiql.graphiql_response), *graphiql.graphiql_routes()]
    return Client(Starlette(routes=routes))


@pytest.fixture
def built(bundle: Path) -> Path:
    (bundle / "assets").mkdir(parents=True)
    (bundle / "index.html").write_text(PAGE, encoding="utf-8")
    (bundle / "assets" / SCRIPT).write_text("export {};", encoding="utf-8")
    return bundle


def policy_of(header: str) -> dict[str, list[str]]:
    directives = (directive.split() for directive in header.split(";"))
    return {name: sources for name, *sources in directives}


@pytest.mark.usefixtures("built")
def test_page_is_the_bundles(client: Client) -> None:
    response = client.get("/graphql")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == PAGE


@pytest.mark.usefixtures("built")
def test_page_allows_itself_nothing_from_elsewhere(client: Client) -> None:
    policy = policy_of(client.get("/graphql").headers["content-security-policy"])
    assert policy == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "font-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


@pytest.mark.usefixtures("built")
def test_page_is_never_sniffed_cached_stale_or_named_to_others(client: Client) -> None:
    headers = client.get("/graphql").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"
    assert headers["vary"] == "Accept"


@pytest.mark.usefixtures("built")
def test_asset_is_cached_for_good(client: Client) -> None:
    response = client.get(f"/graphiql/{SCRIPT}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/javascript")
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.usefixtures("built")
def test_asset_that_was_cached_is_not_sent_again(client: Client) -> None:
    etag = client.get(f"/graphiql/{SCRIPT}").headers["etag"]
    response = client.get(f"/graphiql/{SCRIPT}", headers={"if-none-match": etag})
    assert response.status_code == 304
    assert response.content == b""


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("path", ["missing.js", "", "index.html", "%2e%2e/index.html", "..%2findex.html"])
def test_nothing_but_assets_is_served(client: Client, path: str) -> None:
    assert client.get(f"/graphiql/{path}").status_code == 404


@pytest.mark.usefixtures("built")
def test_asset_takes_no_posts(client: Client) -> None:
    response = client.request("POST", f"/graphiql/{SCRIPT}")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


def test_page_that_was_not_built_says_how(client: Client) -> None:
    response = client.get("/graphql")
    assert response.status_code == 503
    assert "<code>make build</code>" in response.text
    assert "content-security-policy" in response.headers
    assert client.get(f"/graphiql/{SCRIPT}").status_code == 404


def test_page_appears_without_a_restart_when_it_is_built(client: Client, bundle: Path) -> None:
    assert client.get("/graphql").status_code == 503
    bundle.mkdir()
    (bundle / "index.html").write_text(PAGE, encoding="utf-8")
    assert client.get("/graphql").text == PAGE
