"""How the commands of the router write their answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """How an answer is written."""

    TEXT = "text"
    JSON = "json"


AsFormat = Annotated[Format, typer.Option("--format", help="How to write it.")]
