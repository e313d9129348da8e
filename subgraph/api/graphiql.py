"""GraphiQL, a GraphQL editor for people, from our own files: the page asks nothing of any other host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

BUNDLE_DIR = Path(__file__).parent / "static" / "graphiql"
"""Where `web/graphiql/build.mjs` puts the page, and its assets in a directory beside it."""

# No `unsafe-inline`, no nonce, no worker: scripts set the editor's styles through the CSS object model,
# which a policy allows, and the one package that made style elements is replaced in the bundle.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "font-src 'self'",
        "img-src 'self' data:",  # the tab's icon and CodeMirror's underlines are data: images
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",  # the page names the assets of the newest bundle
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept",  # the same path answers operations
    "X-Content-Type-Options": "nosniff",
}

ASSET_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",  # a name carries its content's digest
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>GraphiQL is not built</title>
<h1>GraphiQL is not built</h1>
<p>Run <code>make build</code> in the checkout (it needs Node 20 or newer), then reload this page.</p>
<p>The endpoint itself works: send operations as JSON by POST to this path.</p>
</html>
"""


def graphiql_response(_request: Request) -> Response:
    """Answer with the GraphiQL page; 503 and how to build it if it has not been built."""
    try:
        page = (BUNDLE_DIR / "index.html").read_text(encoding="utf-8")
    except FileNotFoundError:
        return HTMLResponse(NOT_BUILT, status_code=503, headers=PAGE_HEADERS)
    return HTMLResponse(page, headers=PAGE_HEADERS)


def graphiql_routes() -> list[BaseRoute]:
    """Routes of the page's assets, under `/graphiql/`."""
    assets = _Assets(directory=BUNDLE_DIR / "assets", check_dir=False)
    return [Mount("/graphiql", app=assets, name="graphiql")]


class _Assets(StaticFiles):
    """The bundle's scripts, styles and fonts, cached for good."""

    async def check_config(self) -> None:
        """Accept that the directory is missing: the bundle may be built while the service runs."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(ASSET_HEADERS)
        return response
