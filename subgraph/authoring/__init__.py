"""Writing skills: a start, a component built from sources, and the cases that it must answer."""

from subgraph.authoring.build import BuildOptions, Built, build_skill
from subgraph.authoring.errors import AuthoringError
from subgraph.authoring.fixtures import Fixture, Outcome, run_fixtures, stale_component
from subgraph.authoring.languages import Language
from subgraph.authoring.scaffold import scaffold

__all__ = [
    "AuthoringError",
    "BuildOptions",
    "Built",
    "Fixture",
    "Language",
    "Outcome",
    "build_skill",
    "run_fixtures",
    "scaffold",
    "stale_component",
]
