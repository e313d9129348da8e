"""Composition from a rover `supergraph.yaml`, with the script that the deployment runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gateway import FEDERATION_DIR, CompositionError, compose, write_supergraph_yaml

PROJECTS = FEDERATION_DIR / "projects.graphql"

INVOCATIONS = """
extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])
type Invocation @key(fields: "invocationId") { invocationId: ID!  skillName: String! }
type Query { invocation(invocationId: ID!): Invocation }
"""


def test_schema_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "projects.graphql").write_text(PROJECTS.read_text())
    (tmp_path / "schemas" / "skills.graphql").write_text(INVOCATIONS)
    configuration = write_supergraph_yaml(
        tmp_path / "supergraph.yaml",
        {
            "projects": ("http://127.0.0.1:1/", Path("schemas/projects.graphql")),
            "skills": ("http://127.0.0.1:2/", Path("schemas/skills.graphql")),
        },
    )
    sdl = compose(configuration)
    assert 'PROJECTS @join__graph(name: "projects", url: "http://127.0.0.1:1/")' in sdl


def test_subgraphs_that_do_not_fit_are_refused_with_the_reason(tmp_path: Path) -> None:
    other = tmp_path / "other.graphql"
    other.write_text(INVOCATIONS.replace("skillName: String!", "skillName: Int!"))
    skills = tmp_path / "skills.graphql"
    skills.write_text(INVOCATIONS)
    configuration = write_supergraph_yaml(
        tmp_path / "supergraph.yaml",
        {"skills": ("http://127.0.0.1:1/", skills), "other": ("http://127.0.0.1:2/", other)},
    )
    with pytest.raises(CompositionError, match=r"Invocation\.skillName"):
        compose(configuration)


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ("federation_version: =2.0.1\nsubgraphs: {}\n", "installed composer"),
        ("federation_version: 2\nsubgraphs: {}\n", "names no subgraph"),
        ("subgraphs: {skills: {schema: {file: s.graphql}}}\n", "no routing_url"),
        ("subgraphs: {skills: {routing_url: http://127.0.0.1:1/}}\n", r"no schema\.file"),
    ],
)
def test_wrong_configuration_is_refused(tmp_path: Path, configuration: str, reason: str) -> None:
    path = tmp_path / "supergraph.yaml"
    path.write_text(configuration)
    with pytest.raises(CompositionError, match=reason):
        compose(path)
