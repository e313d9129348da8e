"""One JSON text in the forms that are in use of it, for comparing with a commitment, which is over bytes.

Spaces between tokens, escapes in strings and ways to write one number are what the forms differ in. Members
keep their order and their repetitions, and a number stays the number that it is: `1` is not `1.0`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import NoReturn

import orjson

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-0-9][-+.0-9eE]*|true|false|null|[\[\]{}:,]', re.DOTALL)

_SEPARATORS = ({",": ",", ":": ":"}, {",": ", ", ":": ": "})
"""Compact, as the service writes an input and an answer over GraphQL; and as `run` and Python write."""

_NUMBERS: tuple[Callable[[str], str], ...] = (
    str,
    lambda literal: repr(float(literal)),
    lambda literal: orjson.dumps(float(literal)).decode(),
)
"""As it stands there, as Python writes it, and as answers over GraphQL have it."""


def forms_of(data: bytes) -> Iterator[bytes]:
    """Write a JSON text in each form, with a newline at its end and without; nothing for another text."""
    try:
        text = data.decode()
        # Values are not of interest; as text, no number is too long to be read.
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return
    tokens = _TOKEN.findall(text)
    written = set()
    for separators, number, escapes in product(_SEPARATORS, _NUMBERS, (False, True)):
        form = "".join(
            separators[token] if token in separators else _written(token, number, escapes) for token in tokens
        )
        try:
            encoded = form.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which only its escape can write
            continue
        if encoded not in written:
            written.add(encoded)
            yield encoded
            yield encoded + b"\n"


def _written(token: str, number: Callable[[str], str], escapes: bool) -> str:
    if token[0] == '"':
        return json.dumps(json.loads(token), ensure_ascii=escapes)
    if token[0] in "-0123456789" and not token.lstrip("-").isdigit():
        return _as_number(token, number)
    return token


def _as_number(literal: str, number: Callable[[str], str]) -> str:
    """Write a number with a fraction or an exponent another way, where that is exactly the same number."""
    written = number(literal)
    try:
        same = Decimal(written) == Decimal(literal)
    except InvalidOperation:  # infinity as null, and exponents that no decimal has
        same = False
    return written if same else literal


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
