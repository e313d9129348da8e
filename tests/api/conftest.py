"""One application for the tests of the API, with skills of every kind."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support import guests
from tests.support.postgres import TEST_SECONDS, empty_database
from tests.support.skills import Client, application, component, skill_settings, write_skill


@pytest.fixture
def api(shared_api: Client) -> Client:
    """The application that this room shares, once it would serve a call.

    Between two requests it stands still: after a long one of another test it has to look at what was decided.
    """
    deadline = time.monotonic() + TEST_SECONDS
    while shared_api.request("GET", "/readyz").status_code != 200:
        assert time.monotonic() < deadline, "the application does not become ready"
        time.sleep(0.02)
    return shared_api


@pytest.fixture(scope="package")
def shared_api(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """An application whose caller is the local operator."""
    home = tmp_path_factory.mktemp("home")
    with empty_database(server) as dsn:
        settings = skill_settings(home, dsn, input_limit_bytes=4096)
        root = settings.skill_roots[0]
        fields = "license: MIT\nmetadata: {version: 1.10, region: VN}"
        write_skill(root, "cuo/echo", tools="read_file list_dir", fields=fields, guest=component())
        write_skill(root, "a/twin")
        write_skill(root, "b/twin")
        write_skill(root, "docs-only")
        write_skill(root, "fails", guest=component(guests.FAILS))
        write_skill(root, "invalid", guest=b"no wasm")
        write_skill(root, "revoked", guest=component())
        deep = guests.pure(
            """
            (memory.fill (i32.const 64) (i32.const 91) (i32.const 300))
            (memory.fill (i32.const 364) (i32.const 93) (i32.const 300))
            (local.set $at (i32.const 64)) (local.set $length (i32.const 600))
            """
        )
        write_skill(root, "deep-answer", guest=component(deep))
        with application(settings) as client:
            client.data('mutation { revokeSkill(name: "revoked", note: "it leaks") { name } }')
            yield client
