"""Which other skills `validate` knows, which itself reads each directory alone."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from subgraph.catalog.dependencies import unmet
from subgraph.catalog.problem import MANIFEST_NAME
from subgraph.catalog.registry import Registry
from subgraph.service import skill_roots
from subgraph.settings import load_settings


class KnownSkills:
    """The directories that were named, those beside a skill, and the catalogue of this host.

    The catalogue is read when something depends on a skill that is in neither of the others.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self._named = {directory.absolute().name for directory in directories}

    def check_of(self, directory: Path) -> Callable[[str], str | None]:
        """Return what says of a dependency of the skill in a directory why it is not there."""
        return functools.partial(self._check, directory.absolute())

    def _check(self, directory: Path, name: str) -> str | None:
        short = name.rpartition("/")[2]
        if short in self._named or (directory.parent / short / MANIFEST_NAME).is_file():
            return None
        catalogue = self._catalogue
        if catalogue is None:
            return None
        return unmet(name, _path_in(catalogue, directory), holds=catalogue.holds, named=catalogue.paths_named)

    @functools.cached_property
    def _catalogue(self) -> Registry | None:
        """Scan the roots of the settings; None where these are wrong, which is not what is validated."""
        try:
            registry = Registry(skill_roots(load_settings(os.environ)))
        except ValueError:
            return None
        registry.scan()
        return registry


def _path_in(catalogue: Registry, directory: Path) -> str:
    """Return the path of a skill in the catalogue, or the one that it would have at the top of a root."""
    return next((each.path for each in catalogue if each.directory == directory), directory.name)
