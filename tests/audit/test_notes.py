from __future__ import annotations

import base64
from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from subgraph.audit.merkle import EMPTY_ROOT, MAX_SIZE, leaf_hash
from subgraph.audit.notes import (
    MAX_NAME_BYTES,
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Checkpoint,
    NoteInvalid,
    Signer,
    Verifier,
    open_note,
)

ORIGIN = "log.example/audit"
ROOT = leaf_hash(b"")
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
WITNESS = Signer("witness.example", Ed25519PrivateKey.from_private_bytes(b"w" * 32))
CHECKPOINT = Checkpoint(ORIGIN, 1, ROOT)
NOTE = SIGNER.sign(CHECKPOINT)
KNOWN = [SIGNER.verifier]
BODY, LINE = CHECKPOINT.body(), NOTE.split("\n\n")[1]

names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="+"), min_size=1, max_size=60
).filter(lambda name: len(name.encode()) <= MAX_NAME_BYTES)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def line(signer: Signer, body: str, *, name: str | None = None, cut: int | None = None) -> str:
    """A signature line, by a key of whatever name."""
    content = signer.verifier.key_id + signer._key.sign(body.encode())
    return f"\u2014 {name or signer.name} {base64.b64encode(content[:cut]).decode()}\n"


def signed(body: str) -> str:
    """A text as a note by the log's key, whatever it says."""
    return f"{body}\n{line(SIGNER, body)}"


def unknown(number: int) -> str:
    return line(Signer.generate(f"stranger-{number}.example"), "anything")


def test_a_note_has_the_bytes_of_the_specification() -> None:
    public = SIGNER._key.public_key().public_bytes_raw()
    key_id = sha256(ORIGIN.encode() + b"\n\x01" + public).digest()[:4]
    body = f"{ORIGIN}\n1\n{base64.b64encode(ROOT).decode()}\n"
    signature = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).sign(body.encode())
    assert f"{body}\n\u2014 {ORIGIN} {base64.b64encode(key_id + signature).decode()}\n" == NOTE
    encoded = base64.b64encode(b"\x01" + public).decode()
    assert SIGNER.verifier.vkey == f"{ORIGIN}+{key_id.hex()}+{encoded}"


@given(names, st.integers(0, MAX_SIZE), st.binary(min_size=32, max_size=32), st.lists(texts, max_size=3))
def test_a_signed_checkpoint_is_read_back(name: str, size: int, root: bytes, lines: list[str]) -> None:
    signer = Signer.generate(name)
    checkpoint = Checkpoint(name, size, root if size else EMPTY_ROOT, tuple(lines))
    assert open_note(signer.sign(checkpoint), [WITNESS.verifier, signer.verifier]) == checkpoint
    assert Checkpoint.parse(checkpoint.body()) == checkpoint


@given(names)
def test_keys_read_back_from_their_texts(name: str) -> None:
    signer = Signer.generate(name)
    assert Signer.parse(signer.skey).skey == signer.skey
    assert Verifier.parse(signer.verifier.vkey) == signer.verifier
    assert Signer.parse(signer.skey).verifier == signer.verifier


def test_a_private_key_is_not_shown() -> None:
    secret = SIGNER.skey.rsplit("+", 1)[1]
    assert secret not in repr(SIGNER)
    assert repr(SIGNER) == f"Signer({ORIGIN!r})"


def test_every_single_byte_that_changes_refuses_the_note() -> None:
    encoded = NOTE.encode()
    for at, byte in enumerate(encoded):
        for other in {byte ^ 1, byte ^ 0x20, byte ^ 0x80, 0x0A, 0x20, 0x3D, 0x41} - {byte}:
            changed = encoded[:at] + bytes([other]) + encoded[at + 1 :]
            with pytest.raises(NoteInvalid):
                open_note(changed.decode(errors="surrogateescape"), KNOWN)


def test_every_byte_that_is_lost_or_added_refuses_the_note() -> None:
    for at in range(len(NOTE)):
        with pytest.raises(NoteInvalid):
            open_note(NOTE[:at] + NOTE[at + 1 :], KNOWN)
        with pytest.raises(NoteInvalid):
            open_note(NOTE[:at], KNOWN)
    for at in range(len(NOTE) + 1):
        for added in ("\n", " ", "A", "=", "\r", "\0"):
            with pytest.raises(NoteInvalid):
                open_note(NOTE[:at] + added + NOTE[at:], KNOWN)


@given(st.text() | st.text(alphabet="\n\u2014 A=+1/"))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(NoteInvalid):
        open_note(text, KNOWN)
    with pytest.raises(NoteInvalid):
        open_note(f"{BODY}{text}{LINE}"[:-1], KNOWN)


MALFORMED: dict[str, Callable[[], str]] = {
    "no blank line": lambda: BODY + LINE,
    "no signature": lambda: BODY + "\n",
    "a last line without its end": lambda: NOTE[:-1],
    "a hyphen for the dash": lambda: NOTE.replace("\u2014", "-"),
    "a line without a dash": lambda: f"{NOTE}a AAAAAAAA\n",
    "two spaces": lambda: NOTE.replace("\u2014 ", "\u2014  "),
    "no name": lambda: f"{NOTE}\u2014 AAAAAAAA\n",
    "an empty name": lambda: f"{NOTE}\u2014  AAAAAAAA\n",
    "a plus in a name": lambda: f"{NOTE}\u2014 a+b AAAAAAAA\n",
    "a space of another kind in a name": lambda: f"{NOTE}\u2014 a\u00a0b AAAAAAAA\n",
    "a control character in a name": lambda: f"{NOTE}\u2014 a\x01b AAAAAAAA\n",
    "an unknown signature that is not base64": lambda: f"{NOTE}\u2014 a AAAA*AAA\n",
    "an unknown signature without padding": lambda: f"{NOTE}\u2014 a AAAAAAA\n",
    "an unknown signature with unused bits": lambda: f"{NOTE}\u2014 a AAAAAAF=\n",
    "an unknown signature of an id alone": lambda: f"{NOTE}\u2014 a AAAAAA==\n",
    "an unknown signature that is empty": lambda: f"{NOTE}\u2014 a \n",
    "base64 of URLs": lambda: f"{NOTE}\u2014 a ____AAAA\n",
    "the same line twice": lambda: NOTE + LINE,
    "an unknown line twice": lambda: NOTE + 2 * "\u2014 a AAAAAAAA\n",
    "a second signature by the key": lambda: NOTE + line(SIGNER, "other\n"),
    "a wrong signature before the right one": lambda: f"{BODY}\n{line(SIGNER, 'other')}{LINE}",
    "a signature of another text": lambda: f"{BODY}\n{line(SIGNER, CHECKPOINT.origin)}",
    "a shorter signature": lambda: f"{BODY}\n{line(SIGNER, BODY, cut=67)}",
    "a key id alone": lambda: f"{BODY}\n{line(SIGNER, BODY, cut=4)}",
    "a signature by an unknown key": lambda: f"{BODY}\n{line(WITNESS, BODY)}",
    "the name of another key": lambda: f"{BODY}\n{line(SIGNER, BODY, name='other.example')}",
    "lines that end otherwise": lambda: NOTE.replace("\n", "\r\n"),
    "one signature too many": lambda: NOTE + "".join(map(unknown, range(MAX_SIGNATURES))),
    "a leading zero": lambda: signed(BODY.replace("\n1\n", "\n01\n")),
    "zero twice": lambda: signed(BODY.replace("\n1\n", "\n00\n")),
    "a sign": lambda: signed(BODY.replace("\n1\n", "\n+1\n")),
    "a negative size": lambda: signed(BODY.replace("\n1\n", "\n-1\n")),
    "a size with a space": lambda: signed(BODY.replace("\n1\n", "\n1 \n")),
    "other digits": lambda: signed(BODY.replace("\n1\n", "\n\u0661\n")),
    "an underscore": lambda: signed(BODY.replace("\n1\n", "\n1_0\n")),
    "an empty size": lambda: signed(BODY.replace("\n1\n", "\n\n")),
    "a size out of bounds": lambda: signed(BODY.replace("\n1\n", f"\n{MAX_SIZE + 1}\n")),
    "a size of many digits": lambda: signed(BODY.replace("\n1\n", f"\n{'9' * 5000}\n")),
    "a root of 31 bytes": lambda: signed(f"{ORIGIN}\n1\n{base64.b64encode(ROOT[1:]).decode()}\n"),
    "a root of 33 bytes": lambda: signed(f"{ORIGIN}\n1\n{base64.b64encode(ROOT + b'a').decode()}\n"),
    "a root that is not base64": lambda: signed(f"{ORIGIN}\n1\n{ROOT.hex()}\n"),
    "a root with unused bits": lambda: signed(f"{BODY[:-3]}{chr(ord(BODY[-3]) + 1)}=\n"),
    "another root of nothing": lambda: signed(BODY.replace("\n1\n", "\n0\n")),
    "no root": lambda: signed(f"{ORIGIN}\n1\n"),
    "no origin": lambda: signed("\n" + BODY.split("\n", 1)[1]),
    "an empty extension": lambda: signed(BODY + "\n"),
    "another origin than the key's name": lambda: signed(BODY.replace(ORIGIN, "other.example")),
    "an empty note": str,
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_note_is_refused(make: Callable[[], str]) -> None:
    note = make()
    assert note != NOTE
    with pytest.raises(NoteInvalid):
        open_note(note, KNOWN)


@pytest.mark.parametrize("body", ["", BODY[:-1], BODY + "x", BODY + "\n", BODY.replace("\n", "\r\n")])
def test_a_text_that_is_no_checkpoint_is_refused(body: str) -> None:
    with pytest.raises(NoteInvalid):
        Checkpoint.parse(body)


def test_a_note_is_refused_when_no_key_is_known() -> None:
    with pytest.raises(NoteInvalid, match="No known key"):
        open_note(NOTE, [])


def test_a_witness_alone_does_not_vouch_for_a_log() -> None:
    witnessed = line(WITNESS, BODY)
    known = [SIGNER.verifier, WITNESS.verifier]
    assert open_note(NOTE + witnessed, known) == CHECKPOINT
    assert open_note(f"{BODY}\n{witnessed}{LINE}", known) == CHECKPOINT
    with pytest.raises(NoteInvalid, match="origin"):
        open_note(f"{BODY}\n{witnessed}", known)


def test_a_wrong_signature_by_any_known_key_refuses_the_note() -> None:
    wrong = NOTE + line(WITNESS, "other")
    assert open_note(wrong, KNOWN) == CHECKPOINT  # unknown, so passed over
    with pytest.raises(NoteInvalid, match="witness"):
        open_note(wrong, [*KNOWN, WITNESS.verifier])


def test_signatures_by_unknown_keys_are_passed_over() -> None:
    others = "".join(map(unknown, range(MAX_SIGNATURES - 2)))
    same_name = line(Signer.generate(ORIGIN), BODY)
    assert open_note(f"{BODY}\n{others}{same_name}{LINE}", KNOWN) == CHECKPOINT


def test_the_longest_note_is_read_and_one_byte_more_is_not() -> None:
    room = MAX_NOTE_BYTES - len(NOTE.encode()) - 1
    longest = SIGNER.sign(Checkpoint(ORIGIN, 1, ROOT, ("x" * room,)))
    assert len(longest.encode()) == MAX_NOTE_BYTES
    assert open_note(longest, KNOWN).size == 1
    with pytest.raises(NoteInvalid, match="longer"):
        open_note(SIGNER.sign(Checkpoint(ORIGIN, 1, ROOT, ("x" * (room + 1),))), KNOWN)
    with pytest.raises(NoteInvalid, match="longer"):  # in bytes, not in characters
        open_note(SIGNER.sign(Checkpoint(ORIGIN, 1, ROOT, ("\u00e9" * room,))), KNOWN)


@pytest.mark.parametrize(
    ("origin", "size", "root", "lines"),
    [
        ("", 1, ROOT, ()),
        ("a\nb", 1, ROOT, ()),
        ("a\tb", 1, ROOT, ()),
        ("a\ud800", 1, ROOT, ()),
        ("a", -1, ROOT, ()),
        ("a", MAX_SIZE + 1, ROOT, ()),
        ("a", 1, ROOT[1:], ()),
        ("a", 1, ROOT + b"\0", ()),
        ("a", 0, ROOT, ()),
        ("a", 1, ROOT, ("",)),
        ("a", 1, ROOT, ("x\ny",)),
    ],
)
def test_a_checkpoint_that_cannot_be_is_refused(
    origin: str, size: int, root: bytes, lines: tuple[str]
) -> None:
    with pytest.raises(ValueError, match=r"line|leaves|root"):
        Checkpoint(origin, size, root, lines)


def test_a_key_signs_for_its_own_log_alone() -> None:
    with pytest.raises(ValueError, match="does not sign"):
        WITNESS.sign(CHECKPOINT)


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\nb", "a\u2003b", "a\x00", "\ud800", "x" * 256, "\u00e9" * 128]
)
def test_a_name_that_no_key_may_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name of a key"):
        Signer.generate(name)


def test_the_longest_name_is_one_of_a_key() -> None:
    assert Signer.generate("x" * MAX_NAME_BYTES).name == "x" * MAX_NAME_BYTES


def wrong_keys(good: str) -> list[str]:
    """Each character of a key changed, and what is no key at all."""
    changed = [good[:at] + ("B" if letter == "A" else "A") + good[at + 1 :] for at, letter in enumerate(good)]
    name, key_id, key = good.removeprefix("PRIVATE+KEY+").split("+", 2)
    start = good[: len(good) - len(name) - len(key_id) - len(key) - 2]
    content = base64.b64decode(key)
    others = [b"\x02" + content[1:], content[1:], content + b"\0", content[:-1], b"", b"\x01"]
    encoded = [f"{start}{name}+{key_id}+{base64.b64encode(other).decode()}" for other in others]
    texts = [
        f"{start}{name}+{key_id.upper()}+{key}",
        f"{start}{name}+{key_id}",
        f"{good}+",
        f"{good}\n",
        f" {good}",
    ]
    return [*changed, *encoded, *texts, "", "+", "++", "a++", good[:-1]]


def test_a_changed_public_key_is_refused() -> None:
    for text in wrong_keys(SIGNER.verifier.vkey):
        with pytest.raises(ValueError, match=r"key|base64"):
            Verifier.parse(text)


def test_a_changed_private_key_is_refused_without_a_word_of_it() -> None:
    secret = SIGNER.skey.rsplit("+", 1)[1]
    for text in [*wrong_keys(SIGNER.skey), SIGNER.verifier.vkey]:
        with pytest.raises(ValueError, match=r"key|base64") as refused:
            Signer.parse(text)
        assert secret[:16] not in str(refused.value)
