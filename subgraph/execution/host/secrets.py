"""Secrets of the operator, and taking them out of texts that are kept."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

from subgraph.capabilities.patterns import PatternError, check_variable
from subgraph.capabilities.urls import escape_url
from subgraph.execution.host.errors import HostCallError
from subgraph.execution.host.files import read_bounded

SECRET_LIMIT: Final = 64 * 1024
"""Bytes of one secret: more than the largest chain of certificates with its key."""

SHORT_SECRET: Final = 6
"""Characters up to which a secret is too short to be cut out: what is left would give it away, or no word
would be left. A text that holds one is withheld as a whole."""

ENVIRONMENT_PREFIX: Final = "SKILL_SECRET_"

logger = logging.getLogger(__name__)


class SecretStore:
    """Secrets by name: a file each in a directory, as Docker and Kubernetes mount them, or a variable.

    A file comes before a variable `SKILL_SECRET_<NAME>`. Links are followed: Kubernetes mounts each secret
    as one, and nobody but the operator writes there. Files that everybody may read are used, with a
    warning: both mount them so by default, into a container of one user.
    """

    def __init__(self, directory: Path | None, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return "SecretStore(…)"

    def read(self, name: str) -> str:
        """Return a secret, without the newline at its end; blocks. Raises `HostCallError`."""
        check_variable(name)
        value = self._from_file(name)
        if value is None:
            value = self._from_environment(name)
        if value is None:
            raise HostCallError(
                f"there is no secret {name}; put a file {name} into CYBEROS_SECRETS_DIR, "
                f"or set {ENVIRONMENT_PREFIX}{name}"
            )
        return value

    def _from_environment(self, name: str) -> str | None:
        value = self._environment.get(ENVIRONMENT_PREFIX + name)
        if value is not None and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise HostCallError(f"the secret {name} is not UTF-8 text")  # surrogates stand for other bytes
        return value

    def _from_file(self, name: str) -> str | None:
        if self._directory is None:
            return None
        try:
            descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError:
            raise HostCallError(f"the secret {name} cannot be read") from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise HostCallError(f"the secret {name} is no regular file")
            if status.st_mode & stat.S_IROTH and name not in self._warned:
                self._warned.add(name)
                logger.warning("everybody on this machine may read the file of the secret %s", name)
            data = read_bounded(descriptor, SECRET_LIMIT)
        finally:
            os.close(descriptor)
        if len(data) > SECRET_LIMIT:
            raise HostCallError(f"the secret {name} has more than {SECRET_LIMIT} bytes")
        try:
            return data.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise HostCallError(f"the secret {name} is not UTF-8 text") from None


class Redactor:
    """Takes the values of secrets that were handed out during a run out of texts that are kept.

    It finds a value as it is, each of its longer lines, and either as JSON, URL, base64 and hexadecimal
    write it, whatever the case of ASCII letters: hosts are written in lower case, digits in either. It
    cannot find what a skill has encrypted, reversed or cut into pieces.
    """

    def __init__(self) -> None:
        self._forms: dict[str, str] = {}
        self._short: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Redactor({len(set(self._forms.values()) | set(self._short.values()))} secrets)"

    def add(self, name: str, value: str) -> None:
        """Remember a secret that was handed out."""
        for text in {value, value.strip(), *value.splitlines()}:
            if text == value or len(text) > SHORT_SECRET:
                for form in map(_folded, _forms(text)):
                    kept = self._short if len(text) <= SHORT_SECRET else self._forms
                    kept.setdefault(form, name)

    def redact(self, text: str) -> str:
        """Return a text with `[secret NAME]` in the place of each value."""
        if not self._forms and not self._short:
            return text
        folded = _folded(text)
        for form, name in self._short.items():
            if form in folded:
                return f"[withheld: it may hold the secret {name}]"
        found = sorted(
            (start, start + len(form), name)
            for form, name in self._forms.items()
            for start in _occurrences(form, folded)
        )
        pieces: list[str] = []
        end = 0
        for start, stop, name in found:
            if start >= end:
                pieces += (text[end:start], f"[secret {name}]")
            end = max(end, stop)
        return "".join((*pieces, text[end:]))


def _occurrences(form: str, text: str) -> Iterator[int]:
    """Every place of a form; those that overlap too, so that no rest of one is left."""
    start = text.find(form)
    while start >= 0:
        yield start
        start = text.find(form, start + 1)


def _forms(value: str) -> set[str]:
    """How a value may stand in a text. Of an empty one nothing."""
    data = value.encode("utf-8", "surrogateescape")
    forms = {value, data.hex(), repr(value)[1:-1], ascii(value)[1:-1]}
    forms |= {json.dumps(value, ensure_ascii=escape)[1:-1] for escape in (True, False)}
    forms |= {
        json.dumps(value)[1:-1].replace("/", "\\/"),
        quote(data, safe=""),
        quote(data),
        quote_plus(data),
    }
    with contextlib.suppress(PatternError):
        forms.add(escape_url(value))  # as the path of an address is recorded
    # Within a longer text base64 falls into one of three alignments; the ends depend on the neighbours.
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data)
        start, stop = (0, 2, 3)[offset], len(data) + offset
        kept = encoded[start : stop * 8 // 6].decode()
        if len(kept) >= SHORT_SECRET or offset == 0:
            forms |= {kept, kept.replace("+", "-").replace("/", "_")}
    return forms - {""}


def _folded(text: str) -> str:
    """Write ASCII letters in lower case and leave all others, so that every place stays where it is."""
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
