"""`python -m subgraph`: serve until told to stop."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import resource
import socket
import sys
from contextlib import AsyncExitStack

import uvicorn
from starlette.applications import Starlette

from subgraph import __version__
from subgraph.api.app import build_app
from subgraph.api.http_protocol import BoundedHttpProtocol
from subgraph.directories import prepare_directories
from subgraph.errors import SubgraphError
from subgraph.settings import load_settings

_CONNECTIONS_LIMIT = 4096
"""Connections that are answered at once; beyond it the answer is 503. A router holds a few dozen."""

_SHUTDOWN_SECONDS = 10  # for requests that are being answered


class _Server(uvicorn.Server):
    """Starts the service before it serves, says where it can be reached, and stops the service at the end.

    The application's lifespan would do the first and the last, and report a failure as a traceback.
    """

    def __init__(self, config: uvicorn.Config, app: Starlette) -> None:
        super().__init__(config)
        self._app = app
        self._service = AsyncExitStack()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await self._service.enter_async_context(self._app.router.lifespan_context(self._app))
        except SubgraphError as error:
            sys.stderr.write(f"cannot start: {error.code}: {error.message}\n")
            self.should_exit = True
            return
        await super().startup(sockets)
        # What is there now stays; a full collection that goes through it halts every request for long.
        gc.collect()
        gc.freeze()
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"ready http://{shown}:{port}/graphql", flush=True)  # noqa: T201

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._service.aclose()


def main() -> int:
    """Serve; return the exit code: 0 when it was told to stop, 1 when it could not start, 2 for settings."""
    parser = argparse.ArgumentParser(
        prog="python -m subgraph",
        description="Serve the skills subgraph. It is configured by CYBEROS_* environment variables, which "
        "docs/settings.md lists.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # the catalogue says what has changed
    _raise_descriptor_limit()
    try:
        settings = load_settings(os.environ)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        app = build_app(settings)
        listener = _listen(settings.host, settings.port)
        prepare_directories(settings)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot start: {error}\n")
        return 2
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedHttpProtocol,
        limit_concurrency=_CONNECTIONS_LIMIT,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = _Server(config, app)
    # After a clean end uvicorn raises the signal that it was told to stop with once more.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _raise_descriptor_limit() -> None:
    """Use the open files that the system allows: connections must not take those that workers need."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(host: str, port: int) -> socket.socket:
    """Open the port before anything else is started. Raises `OSError` when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # with SO_REUSEADDR two could bind the same port, but one alone can listen
    except OSError as error:
        listener.close()
        raise OSError(f"{host}:{port}: {error.strerror}") from error
    return listener


if __name__ == "__main__":
    sys.exit(main())
