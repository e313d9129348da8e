from __future__ import annotations

from pathlib import Path

import pytest

from subgraph.settings import Settings
from subgraph.storage.queries import Query, QueryFileError, load_queries


def test_blocks_of_all_files_become_queries(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: one\n-- The number one,\n-- as ever.\nSELECT 1;\n")
    (tmp_path / "b.sql").write_text(
        "\n-- name: two\n-- Two.\nSELECT\n  -- inside\n  2\n\n-- name: three\n-- Three.\nSELECT 3\n"
    )
    assert load_queries(tmp_path) == {
        "one": Query("one", "The number one, as ever.", "SELECT 1"),
        "two": Query("two", "Two.", "SELECT\n  -- inside\n  2"),
        "three": Query("three", "Three.", "SELECT 3"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- name: a\n-- A.\nSELECT 1\n-- name: a\n-- A.\nSELECT 1", "defined twice"),
        ("-- name: a\nSELECT 1", "no description"),
        ("-- name: a\n--\nSELECT 1", "no description"),
        ("-- name: a\n-- A.\n", "no statement"),
        ("-- name: a\n-- A.\n;", "no statement"),
        ("-- name: Not-a-name\n-- A.\nSELECT 1", "not a query name"),
        ("-- name:\n-- A.\nSELECT 1", "not a query name"),
        ("SELECT 1\n-- name: a\n-- A.\nSELECT 1", "before the first"),
        ("", "no named queries"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "queries.sql").write_text(text)
    with pytest.raises(QueryFileError, match=message):
        load_queries(tmp_path)


def test_names_are_unique_over_files(tmp_path: Path) -> None:
    for name in ("a.sql", "b.sql"):
        (tmp_path / name).write_text("-- name: same\n-- Same.\nSELECT 1\n")
    with pytest.raises(QueryFileError, match=r"b\.sql: query same is defined twice"):
        load_queries(tmp_path)


def test_the_shipped_queries_load() -> None:
    queries = load_queries(Settings().sql_dir / "queries")
    assert {"grant_put", "grant_list_newest", "audit_append", "invocations_since"} <= queries.keys()
