"""What `subgraph.audit` makes, Go's `golang.org/x/mod/sumdb` accepts; what was changed, both refuse."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from subgraph.audit.evidence import Evidence, Growth, verify_evidence
from subgraph.audit.merkle import (
    MAX_SIZE,
    Frontier,
    Plan,
    ProofInvalid,
    assemble,
    consistency_nodes,
    inclusion_nodes,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from subgraph.audit.notes import Checkpoint, NoteInvalid, Signer, Verifier, open_note
from subgraph.audit.tiles import TILE_WIDTH, Tile, node_in, split, tile_of, tile_root, tiles
from tests.audit.reference_tree import LEAVES, entry, hashes_for
from tests.support.independent import Ask, Question, independent


@pytest.fixture(scope="session")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """Go's answers to questions."""
    return independent(tmp_path_factory.mktemp("independent"))


def text(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture
def chance() -> random.Random:
    return random.Random(20261121)  # noqa: S311


def proof_of(plan: Plan) -> tuple[bytes, ...]:
    return assemble(plan, hashes_for(plan))


def roots(sizes: set[int]) -> dict[int, bytes]:
    """Roots of the tree at some sizes, as it grows."""
    grown, found = Frontier(), {}
    for number in range(max(sizes) + 1):
        if number in sizes:
            found[number] = grown.root()
        grown.append(leaf_hash(entry(number)))
    return found


def flipped(content: bytes, chance: random.Random) -> bytes:
    """The same with one bit changed."""
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def changed_proofs(proof: tuple[bytes, ...], chance: random.Random) -> Iterator[tuple[bytes, ...]]:
    """A proof with one hash too many, and if it has any: with one changed, lost, cut, and two swapped."""
    extra = chance.randbytes(32)
    at = chance.randrange(len(proof) + 1)
    yield (*proof[:at], extra, *proof[at:])
    if proof:
        at = chance.randrange(len(proof))
        yield (*proof[:at], flipped(proof[at], chance), *proof[at + 1 :])
        yield (*proof[:at], *proof[at + 1 :])
        yield (*proof[:at], proof[at][:-1], *proof[at + 1 :])
    if len(proof) > 1:
        yield proof[::-1]


def check_inclusion(asked: Question) -> bool:
    try:
        verify_inclusion(
            leaf_hash(asked["entry"]), asked["seq"], asked["size"], asked["proof"], asked["root"]
        )
    except ProofInvalid:
        return False
    return True


def check_consistency(asked: Question) -> bool:
    try:
        verify_consistency(asked["oldSize"], asked["oldRoot"], asked["size"], asked["root"], asked["proof"])
    except ProofInvalid:
        return False
    return True


def opens(asked: Question) -> bool:
    try:
        open_note(asked["text"], [Verifier.parse(key) for key in asked["keys"]])
    except (NoteInvalid, ValueError):
        return False
    return True


def compare(ask: Ask, ours: Callable[[Question], bool], good: list[Question], bad: list[Question]) -> None:
    """Both accept the good questions, and refuse the bad ones."""
    for question, answer in zip(good + bad, ask(good + bad), strict=True):
        expected = any(question is one for one in good)
        assert (ours(question), answer["accepted"]) == (expected, expected), (question, answer)


def test_inclusion_proofs(ask: Ask, chance: random.Random) -> None:
    places = [(seq, size) for size in range(1, 18) for seq in range(size)]
    for _ in range(150):
        size = chance.randint(1, LEAVES)
        places.append((chance.randrange(size), size))
    root_of = roots({size for _, size in places})
    good: list[Question] = []
    bad: list[Question] = []
    for seq, size in places:
        right: Question = {
            "kind": "inclusion",
            "entry": entry(seq),
            "seq": seq,
            "size": size,
            "root": root_of[size],
        }
        right["proof"] = proof_of(inclusion_nodes(seq, size))
        good.append(right)
        bad += [right | {"proof": proof} for proof in changed_proofs(right["proof"], chance)]
        bad.append(right | {"entry": flipped(entry(seq), chance)})
        bad.append(right | {"root": flipped(root_of[size], chance)})
        bad.append(right | {"seq": chance.choice([-1, size, *({*range(size)} - {seq})])})
    compare(ask, check_inclusion, good, bad)


def test_consistency_proofs(ask: Ask, chance: random.Random) -> None:
    growths = [(old, new) for new in range(1, 18) for old in range(1, new + 1)]
    for _ in range(150):
        new = chance.randint(1, LEAVES)
        growths.append((chance.randint(1, new), new))
    root_of = roots({size for growth in growths for size in growth})
    good: list[Question] = []
    bad: list[Question] = []
    for old, new in growths:
        right: Question = {"kind": "consistency", "oldSize": old, "oldRoot": root_of[old], "size": new}
        right |= {"root": root_of[new], "proof": proof_of(consistency_nodes(old, new))}
        good.append(right)
        bad += [right | {"proof": proof} for proof in changed_proofs(right["proof"], chance)]
        bad.append(right | {"oldRoot": flipped(root_of[old], chance)})
        bad.append(right | {"root": flipped(root_of[new], chance)})
        bad.append(right | {"oldSize": new + 1})
    compare(ask, check_consistency, good, bad)


class Log:
    """A log with leaves of its own, kept as tiles alone."""

    def __init__(self, size: int) -> None:
        grown = Frontier()
        hashes = [leaf_hash(entry(number)) for number in range(size)]
        grown.extend(hashes)
        self.size, self.root = size, grown.root()
        levels = [hashes]
        while len(levels[-1]) >= TILE_WIDTH:
            below = levels[-1]
            full = range(0, len(below) // TILE_WIDTH * TILE_WIDTH, TILE_WIDTH)
            levels.append([tile_root(below[at : at + TILE_WIDTH]) for at in full])
        self.files: dict[Tile, bytes] = {}
        for tile in tiles(size):
            start = tile.index * TILE_WIDTH
            self.files[tile] = b"".join(levels[tile.level][start : start + tile.width])

    def proof(self, plan: Plan) -> tuple[bytes, ...]:
        found = {node: node_in(split(self.files[tile_of(node, self.size)]), node) for node in plan.nodes}
        return assemble(plan, found)

    def question(self, **more: Any) -> Question:
        served = {tile.path: content for tile, content in self.files.items()}
        return {"size": self.size, "root": self.root, "tiles": served, **more}


@pytest.mark.parametrize("size", [1, 2, 7, 255, 256, 257, 511, 512, 513, 2100, 66_000])
def test_proofs_of_tiles(ask: Ask, chance: random.Random, size: int) -> None:
    log = Log(size)
    places = sorted({0, size - 1, *(chance.randrange(size) for _ in range(3))})
    root_of = roots({seq + 1 for seq in places})
    questions = [log.question(kind="proveInclusion", entry=entry(seq), seq=seq) for seq in places]
    for old, root in root_of.items():
        questions.append(log.question(kind="proveConsistency", oldSize=old, oldRoot=root))
    ours = [log.proof(inclusion_nodes(seq, size)) for seq in places]
    ours += [log.proof(consistency_nodes(seq + 1, size)) for seq in places]
    for question, proof, answer in zip(questions, ours, ask(questions), strict=True):
        assert answer["accepted"], (question["kind"], answer["reason"])
        assert answer["proof"] == [text(item) for item in proof]


@pytest.mark.parametrize("size", [2, 300, 2100])
def test_changed_tiles(ask: Ask, chance: random.Random, size: int) -> None:
    questions = []
    for seq in {chance.randrange(size) for _ in range(12)}:
        log, plan = Log(size), inclusion_nodes(seq, size)
        tile = tile_of(chance.choice(plan.nodes), size)
        log.files[tile] = flipped(log.files[tile], chance)
        while log.proof(plan) == Log(size).proof(plan):  # until the change is one that the proof needs
            log.files[tile] = flipped(log.files[tile], chance)
        with pytest.raises(ProofInvalid):
            verify_inclusion(leaf_hash(entry(seq)), seq, size, log.proof(plan), log.root)
        questions.append(log.question(kind="proveInclusion", entry=entry(seq), seq=seq))
    assert not any(answer["accepted"] for answer in ask(questions))


def test_which_tiles_there_are(ask: Ask, chance: random.Random) -> None:
    sizes = [
        0,
        1,
        255,
        256,
        257,
        65_535,
        65_536,
        65_537,
        70_000,
        *(chance.randrange(99_999) for _ in range(20)),
    ]
    answers = ask([{"kind": "tiles", "size": size} for size in sizes])
    for size, answer in zip(sizes, answers, strict=True):
        # Go names each width that a partial tile may have had meanwhile; the last is the present one.
        theirs: dict[tuple[int, int], Tile] = {}
        for path in answer["texts"] or []:
            tile = Tile.parse(path)
            theirs[tile.level, tile.index] = tile
        assert list(theirs.values()) == list(tiles(size))


def test_paths_of_tiles(ask: Ask, chance: random.Random) -> None:
    paths = []
    for _ in range(200):
        index = chance.randrange(10 ** chance.randint(1, 18))
        path = Tile(chance.randrange(10), index, chance.randint(1, TILE_WIDTH)).path
        at, letter = chance.randrange(len(path)), chance.choice("0129x/.p+- ")
        paths += [
            path,
            path[:at] + letter + path[at + 1 :],
            path[:at] + path[at + 1 :],
            path[:at] + letter + path[at:],
        ]
    answers = ask([{"kind": "path", "text": path} for path in paths])
    accepted = 0
    for path, answer in zip(paths, answers, strict=True):
        try:
            ours = Tile.parse(path).path == path
        except ValueError:
            ours = False
        # Go counts levels without end; C2SP's end at 63.
        theirs = answer["accepted"] and int(path.split("/")[1]) < 64
        assert ours == theirs, path
        accepted += ours
    assert 200 <= accepted < len(paths) - 200


def a_name(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_letters + "-./ếß漢", k=chance.randint(1, 40)))


def a_checkpoint(origin: str, chance: random.Random) -> Checkpoint:
    return Checkpoint(origin, chance.randint(1, MAX_SIZE), chance.randbytes(32))


def changed_notes(note: str, chance: random.Random) -> Iterator[str]:
    body, line = note.split("\n\n")
    dash, name, encoded = line.rstrip("\n").split(" ")
    signature = base64.b64decode(encoded)
    yield f"{body}\n{line}"
    yield f"{body}\n\n"
    yield note[:-1]
    yield note.replace(dash, "-")
    yield note.replace(f"{dash} ", f"{dash}  ")
    yield note.replace("\n", "\r\n")
    yield note.replace("\n\n", "\n\t\n\n")
    yield f"{body}\n\n{dash} {name}x {encoded}\n"
    yield f"{body}\n\n{dash} {name} {encoded[:-1]}\n"
    yield f"{body}\n\n{dash} {name} {text(flipped(signature, chance))}\n"
    yield f"{body}\n\n{dash} {name} {text(signature[:-1])}\n"
    yield f"{body}\n\n{dash} {name} {text(signature + b'x')}\n"
    yield f"{body}\n\n{dash} {name} {text(signature[:4])}\n"
    yield f"{body}\n\n{dash} {name} *{encoded[1:]}\n"
    yield f"{note}{dash} a+b {encoded}\n"
    yield f"{note}more\n"
    yield f"{note}\n"
    for _ in range(3):
        at = chance.randrange(len(body))
        yield f"{body[:at]}{chr(ord(body[at]) ^ 1)}{body[at + 1 :]}\n\n{line}"


def test_notes(ask: Ask, chance: random.Random) -> None:
    good: list[Question] = []
    bad: list[Question] = []
    signing: list[Question] = []
    for _ in range(40):
        signer, stranger = Signer.generate(a_name(chance)), Signer.generate(a_name(chance))
        checkpoint = a_checkpoint(signer.name, chance)
        note, keys = signer.sign(checkpoint), [signer.verifier.vkey]
        good.append({"kind": "open", "text": note, "keys": [stranger.verifier.vkey, *keys]})
        bad += [{"kind": "open", "text": other, "keys": keys} for other in changed_notes(note, chance)]
        bad.append({"kind": "open", "text": note, "keys": [stranger.verifier.vkey]})
        at = chance.randrange(len(keys[0]))
        bad.append({"kind": "open", "text": note, "keys": [f"{keys[0][:at]}!{keys[0][at + 1 :]}"]})
        signing.append({"kind": "sign", "text": checkpoint.body(), "keys": [signer.skey]})
    compare(ask, opens, good, bad)
    for question, opened, signed in zip(good, ask(good), ask(signing), strict=True):
        assert opened["texts"] == [question["text"].split("\n\n")[0] + "\n"]
        assert signed["texts"] == [question["text"]]


def test_notes_with_several_signatures(ask: Ask, chance: random.Random) -> None:
    signer, witness = Signer.generate("log.example"), Signer.generate("witness.example")
    checkpoint = a_checkpoint(signer.name, chance)
    question = {"kind": "sign", "text": checkpoint.body(), "keys": [witness.skey, signer.skey]}
    (note,) = ask([question])[0]["texts"]
    for known in ([signer.verifier], [witness.verifier, signer.verifier]):
        assert open_note(note, known) == checkpoint


def test_private_keys(ask: Ask, chance: random.Random) -> None:
    keys = []
    for _ in range(30):
        skey = Signer.generate("log.example").skey
        at = chance.randrange(len(skey))
        keys += [skey, f"{skey[:at]}!{skey[at + 1 :]}", skey[:-1], skey[1:]]
    answers = ask([{"kind": "sign", "text": "text\n", "keys": [key]} for key in keys])
    for number, (key, answer) in enumerate(zip(keys, answers, strict=True)):
        try:
            ours = Signer.parse(key).skey == key
        except ValueError:
            ours = False
        assert (ours, answer["accepted"]) == (number % 4 == 0, number % 4 == 0), number


def test_evidence_is_verified_by_its_documented_fields(ask: Ask) -> None:
    signer, seq, old, size = Signer.generate("log.example/audit"), 6, 5, 11
    root_of = roots({old, size})
    notes = {number: signer.sign(Checkpoint(signer.name, number, root)) for number, root in root_of.items()}
    growth = Growth(notes[old], proof_of(consistency_nodes(old, size)))
    made = Evidence(entry(seq), seq, notes[size], proof_of(inclusion_nodes(seq, size)), growth).encode()
    assert verify_evidence(made, [signer.verifier]).seq == seq

    bundle = json.loads(made)
    older = bundle["consistency"]
    opened = ask(
        [
            {"kind": "open", "text": note, "keys": [signer.verifier.vkey]}
            for note in (bundle["checkpoint"], older["checkpoint"])
        ]
    )
    heads = [answer["texts"][0].split("\n") for answer in opened]
    tree: Question = {"size": int(heads[0][1]), "root": heads[0][2]}
    inclusion = {"kind": "inclusion", "entry": bundle["entry"], "seq": seq, "proof": bundle["inclusion"]}
    consistency = {"kind": "consistency", "oldSize": int(heads[1][1]), "oldRoot": heads[1][2]}
    checked = ask([inclusion | tree, consistency | tree | {"proof": older["proof"]}])
    assert [answer["accepted"] for answer in checked] == [True, True]
