"""Signed checkpoints: what the log was at one size, after C2SP signed-note and tlog-checkpoint.

A checkpoint is a text of three lines: the log's origin, its size, its root. A note is a text and the lines
that sign it. Keys are Ed25519 (signature type 0x01) and have a name, which for the key of a log is its
origin. Where the specifications leave a choice the strict one is taken: base64 has one spelling, a signature
by a known key that is wrong refuses the whole note, and only a key of the origin's name vouches for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from subgraph.audit import base64_text
from subgraph.audit.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE
from subgraph.errors import InputInvalid

MAX_SIGNATURES = 16
"""Signatures of one note: as many as signed-note says that every verifier must accept."""

MAX_NOTE_BYTES = 128 * 1024
"""Of a note: 16 post-quantum signatures of 5 kB each in base64, as signed-note warns, take 107 kB."""

MAX_NAME_BYTES = 255
"""Of the name of a key of ours, which recommends itself as a host name with a path."""

_ED25519 = b"\x01"
_KEY_BYTES = 32
_ID_BYTES = 4

_SIGNATURE_PREFIX = "\u2014 "
_PRIVATE_PREFIX = "PRIVATE+KEY+"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_ID = re.compile(r"[0-9a-f]{8}")


class NoteInvalid(InputInvalid):
    """The checkpoint is not one that a known key has signed."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head (tlog-checkpoint, "Note text"). `extensions` are lines that mean nothing to us.

    Raises `ValueError` for values that no checkpoint can hold.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for line in (self.origin, *self.extensions):
            if not line or "\n" in line or not _is_text(line):
                raise ValueError("a line of a checkpoint is empty, or holds what a note may not")
        if not 0 <= self.size <= MAX_SIZE:
            raise ValueError(f"a tree of {self.size} leaves is not within 0 to {MAX_SIZE}")
        if len(self.root) != HASH_BYTES:
            raise ValueError(f"a root of {len(self.root)} bytes is not one of {HASH_BYTES}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise ValueError("the tree without leaves has another root")

    def body(self) -> str:
        """The text that is signed: each line with its end."""
        lines = (self.origin, str(self.size), base64_text.encode(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, body: str) -> Self:
        """Read a text, which has one form only. Raises `NoteInvalid`."""
        lines = body.split("\n")
        if len(lines) < 4 or lines.pop() != "":
            raise NoteInvalid("The checkpoint has fewer than three whole lines.")
        origin, size, root, *extensions = lines
        if _SIZE.fullmatch(size) is None:
            raise NoteInvalid("The checkpoint's size is not a decimal number without leading zeros.")
        try:
            return cls(origin, int(size), base64_text.decode(root), tuple(extensions))
        except ValueError as error:
            raise NoteInvalid(f"The checkpoint is malformed: {error}.") from error


class Verifier:
    """A public key and its name, written as a vkey: name, key id and key, with `+` between."""

    __slots__ = ("_key", "_public", "key_id", "name")

    def __init__(self, name: str, public_key: Ed25519PublicKey) -> None:
        check_name(name)
        self.name = name
        self._key = public_key
        self._public = public_key.public_bytes_raw()
        self.key_id = _key_id(name, self._public)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Verifier) and self.vkey == other.vkey

    def __hash__(self) -> int:
        return hash(self.vkey)

    def __repr__(self) -> str:
        return f"Verifier({self.vkey!r})"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read a vkey. Raises `ValueError`, also if its key id is not that of its name and key."""
        name, key_id, public = _encoded_key(vkey)
        verifier = cls(name, Ed25519PublicKey.from_public_bytes(public))
        if verifier.key_id != key_id:
            raise ValueError("the key id does not belong to the name and the key")
        return verifier

    @property
    def vkey(self) -> str:
        """The key as text, for those who verify."""
        return _key_text(self.name, self.key_id, self._public)

    def verify(self, text: str, signature: bytes) -> bool:
        """Whether this key made this signature of this text."""
        try:
            self._key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key and its name. It is written as text by `skey` alone, never by `repr`."""

    __slots__ = ("_key", "verifier")

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        self.verifier = Verifier(name, private_key.public_key())
        self._key = private_key

    def __repr__(self) -> str:
        return f"Signer({self.name!r})"

    @classmethod
    def generate(cls, name: str) -> Self:
        """Make a new key. Raises `ValueError` for a name that no key may have."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, skey: str) -> Self:
        """Read a private key as text. Raises `ValueError`, whose message holds nothing of the key."""
        if not skey.startswith(_PRIVATE_PREFIX):
            raise ValueError(f"a private key begins with {_PRIVATE_PREFIX}")
        name, key_id, seed = _encoded_key(skey.removeprefix(_PRIVATE_PREFIX))
        signer = cls(name, Ed25519PrivateKey.from_private_bytes(seed))
        if signer.verifier.key_id != key_id:
            raise ValueError("the key id does not belong to the name and the key")
        return signer

    @property
    def name(self) -> str:
        """The key's name, which is the origin of what it signs."""
        return self.verifier.name

    @property
    def skey(self) -> str:
        """The private key as text, in the form that Go's note package made known."""
        seed = self._key.private_bytes_raw()
        return (
            f"{_PRIVATE_PREFIX}{self.name}+{self.verifier.key_id.hex()}+{base64_text.encode(_ED25519 + seed)}"
        )

    def sign(self, checkpoint: Checkpoint) -> str:
        """Make the note. Raises `ValueError` for a checkpoint of another origin than this key's name."""
        if checkpoint.origin != self.name:
            raise ValueError(f"the key of {self.name!r} does not sign for {checkpoint.origin!r}")
        body = checkpoint.body()
        signature = base64_text.encode(self.verifier.key_id + self._key.sign(body.encode()))
        return f"{body}\n{_SIGNATURE_PREFIX}{self.name} {signature}\n"


def check_name(name: str) -> None:
    """Raise `ValueError` for a name that no key of ours may have (signed-note, "Format")."""
    if not _is_name(name):
        raise ValueError("the name of a key is empty, or holds a space, a plus or a control character")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"the name of a key is longer than {MAX_NAME_BYTES} bytes")


def open_note(text: str, verifiers: Collection[Verifier]) -> Checkpoint:
    """Read a signed checkpoint, if these keys vouch for it. Raises `NoteInvalid`.

    1. It is UTF-8 within bounds, without control characters but line ends.
    2. Its last empty line parts the text from the signature lines.
    3. Each of these is well formed, none twice.
    4. Those of unknown keys are passed over. One by a known key that is wrong refuses the note.
    5. The text is a checkpoint, and a key of its origin's name is among those that signed.
    """
    if len(text) > MAX_NOTE_BYTES or not _is_text(text) or len(text.encode()) > MAX_NOTE_BYTES:  # 1
        raise NoteInvalid(f"The note is longer than {MAX_NOTE_BYTES} bytes, or holds what is no text.")
    body, parting, block = text.rpartition("\n\n")  # 2
    if not parting or not block.endswith("\n"):
        raise NoteInvalid("The note has no signature lines after an empty line.")
    body += "\n"
    lines = block[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalid(f"The note has more than {MAX_SIGNATURES} signatures.")
    if len(set(lines)) != len(lines):  # 3
        raise NoteInvalid("The note has a signature line twice.")
    known = {(verifier.name, verifier.key_id): verifier for verifier in verifiers}
    signed: set[tuple[str, bytes]] = set()
    for name, key_id, signature in map(_signature, lines):  # 4
        verifier = known.get((name, key_id))
        if verifier is None:
            continue
        if not verifier.verify(body, signature):
            raise NoteInvalid(f"The signature by {name!r} is wrong.")
        signed.add((name, key_id))
    if not signed:
        raise NoteInvalid("No known key has signed the note.")
    checkpoint = Checkpoint.parse(body)  # 5
    if checkpoint.origin not in {name for name, _ in signed}:
        raise NoteInvalid("No key of the checkpoint's origin has signed it.")
    return checkpoint


def _signature(line: str) -> tuple[str, bytes, bytes]:
    """The key name, key id and signature of a line (signed-note, "Signatures")."""
    name, space, encoded = line.removeprefix(_SIGNATURE_PREFIX).partition(" ")
    if not line.startswith(_SIGNATURE_PREFIX) or not space or not _is_name(name):
        raise NoteInvalid("A signature line of the note is malformed.")
    try:
        content = base64_text.decode(encoded)
    except ValueError as error:
        raise NoteInvalid("A signature of the note is malformed.") from error
    if len(content) <= _ID_BYTES:
        raise NoteInvalid("A signature of the note is too short.")
    return name, content[:_ID_BYTES], content[_ID_BYTES:]


def _key_text(name: str, key_id: bytes, key: bytes) -> str:
    return f"{name}+{key_id.hex()}+{base64_text.encode(_ED25519 + key)}"


def _encoded_key(text: str) -> tuple[str, bytes, bytes]:
    """The name, key id and 32 bytes of a key. The base64 itself may hold a plus."""
    parts = text.split("+", 2)
    if len(parts) != 3 or _ID.fullmatch(parts[1]) is None:
        raise ValueError("a key is written as its name, its id in 8 hexadecimal digits, and base64")
    content = base64_text.decode(parts[2])
    if len(content) != 1 + _KEY_BYTES or not content.startswith(_ED25519):
        raise ValueError("the key is not one of Ed25519")
    return parts[0], bytes.fromhex(parts[1]), content[1:]


def _key_id(name: str, public: bytes) -> bytes:
    """The key id that signed-note recommends, and requires of Ed25519 ("Ed25519 signatures")."""
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:_ID_BYTES]


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(map(str.isspace, name)) and _is_text(name)


def _is_text(text: str) -> bool:
    """Whether UTF-8 can hold it, and it has no ASCII control character but line ends."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return _CONTROL.search(text) is None
