"""One application for the tests of the API, with skills of every kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import guests
from tests.support.postgres import empty_database
from tests.support.skills import Client, application, component, skill_settings, write_skill


@pytest.fixture(scope="package")
def api(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
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
