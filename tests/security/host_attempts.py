"""Every host call that a hostile skill tries, and that must come to nothing."""

from __future__ import annotations

from typing import Final

from tests.security.address_attempts import ADDRESS_ATTEMPTS
from tests.security.file_attempts import FILE_ATTEMPTS
from tests.security.ground import Attempt, End, Ground, ground_below
from tests.security.name_attempts import NAME_ATTEMPTS

__all__ = ["ATTEMPTS", "Attempt", "End", "Ground", "ground_below"]

ATTEMPTS: Final[list[Attempt]] = [*FILE_ATTEMPTS, *NAME_ATTEMPTS, *ADDRESS_ATTEMPTS]
