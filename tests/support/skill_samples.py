"""Skills as people publish them, in any number, for tests and benchmarks: the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_GROUPS = ("cuo/cpo", "cuo/cto", "cuo/cfo", "cyberskill-vn", "documents", "data", "ops/release", "tools")
_VERBS = ("extract", "validate", "review", "draft", "convert", "summarise", "plan", "audit", "merge", "test")
_THINGS = (
    "pdf", "invoice", "contract", "roadmap", "api", "schema", "tax-code", "payroll", "report", "dataset",
    "release", "incident", "spreadsheet", "translation", "interview", "budget",
)  # fmt: skip
_SENTENCES = (
    "Reads {thing} files and returns their contents as structured records.",
    "Drafts a {thing} from notes in the house style, with open questions listed at the end.",
    "Checks a {thing} against the rules in force and names each rule that it breaks.",
    "Use when the user mentions a {thing}, asks to {verb} one, or attaches one to the conversation.",
    "Works without network access and changes nothing outside of the working directory.",
    "Kiểm tra và xử lý {thing} theo quy định hiện hành.",
    "Handles scans, several pages, and tables that continue over a page break.",
    "Not for legal advice; the answer names what a person has to confirm.",
)
_LICENSES = ("MIT", "Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "Proprietary. LICENSE.txt has complete terms")
_TOOLS = ("read_file", "read_file write_file", "Bash(git:*) Read", "fetch_url(https://*.vn/*)", "list_dir")
_AUTHORS = ("CyberOS", "example-org", "Nguyễn Văn A", "data-team")
_REGIONS = ("VN", "SG", "DE")
_BODY = "## Step {number}\n\nLook at the input, then follow the list below. Ask when a figure is missing.\n\n"


@dataclass(frozen=True, slots=True)
class Sample:
    """A skill: its path below a root, and the bytes of its SKILL.md."""

    path: str
    manifest: bytes


def samples(count: int, *, seed: int = 1) -> Iterator[Sample]:
    """Make skills. Descriptions have 200 characters on average; a third has a line of its own fields."""
    chance = random.Random(seed)  # noqa: S311 - the same skills every time
    for number in range(count):
        verb, thing = chance.choice(_VERBS), chance.choice(_THINGS)
        name = f"{verb}-{thing}-{number}"
        yield Sample(f"{chance.choice(_GROUPS)}/{name}", _manifest(chance, name, verb, thing).encode())


def write_samples(root: Path, count: int, *, seed: int = 1) -> list[Path]:
    """Write skills below a root; their directories, in the order of their numbers."""
    directories = []
    for sample in samples(count, seed=seed):
        directory = root / sample.path
        directory.mkdir(parents=True)
        (directory / "SKILL.md").write_bytes(sample.manifest)
        directories.append(directory)
    return directories


def _manifest(chance: random.Random, name: str, verb: str, thing: str) -> str:
    sentences = chance.sample(_SENTENCES, chance.choice((2, 3, 3, 4)))
    description = " ".join(sentences).format(thing=thing, verb=verb)
    lines = ["---", f"name: {name}"]
    style = chance.random()
    if style < 0.5:
        lines.append(f"description: {description}")
    elif style < 0.8:
        lines.append(f'description: "{description}"')
    else:
        lines += ["description: >-", *(f"  {sentence}" for sentence in description.split("\n"))]
    if chance.random() < 0.7:
        lines.append(f"license: {chance.choice(_LICENSES)}")
    if chance.random() < 0.2:
        lines.append("compatibility: Needs Python 3.9 or newer")
    if chance.random() < 0.8:
        lines += _metadata(chance, thing)
    if chance.random() < 0.6:
        lines.append(f"allowed-tools: {chance.choice(_TOOLS)}")
    body = "".join(_BODY.format(number=number) for number in range(chance.randint(5, 60)))
    return "\n".join([*lines, "---", "", f"# {name}", "", body])


def _metadata(chance: random.Random, thing: str) -> list[str]:
    version = f"{chance.randint(0, 2)}.{chance.randint(0, 9)}.0"
    lines = ["metadata:", f'  version: "{version}"', f"  author: {chance.choice(_AUTHORS)}"]
    if chance.random() < 0.4:
        lines.append(f"  region: {chance.choice(_REGIONS)}")
    if chance.random() < 0.3:
        lines.append("  cyberos-script: scripts/run.py")
        lines.append(f"  cyberos-activation-events: onStartup onKeyword:{thing}")
    return lines
