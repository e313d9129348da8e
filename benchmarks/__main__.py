"""`python -m benchmarks`: measure, and print figures beside their targets."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environment import Plan, running_environment
from benchmarks.machine import facts, load_average
from benchmarks.report import Section
from benchmarks.sections import SECTIONS
from benchmarks.subjects import small_subject, typescript_subject

FULL = Plan(rounds=5, seconds=1.5)
QUICK = Plan(rounds=2, seconds=0.5)


def main() -> int:
    """Measure the sections that were asked for. A target that is missed is said, and is no failure."""
    arguments = _arguments()
    started = time.monotonic()
    plan = QUICK if arguments.quick else FULL
    with running_environment(plan, small_subject(), typescript_subject()) as environment:
        machine = facts(environment.directory, environment.postgres)
        _print_machine(machine)
        sections = []
        for name in arguments.sections or SECTIONS:
            section = SECTIONS[name](environment)
            print(f"\n{section.table()}", flush=True)
            sections.append(section)
    _print_summary(plan, sections, time.monotonic() - started)
    if arguments.json is not None:
        _write_json(arguments.json, plan, machine, sections)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="section", help=f"what to measure (all): {', '.join(SECTIONS)}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, for a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    arguments = parser.parse_args()
    unknown = set(arguments.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no section is named {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


def _print_machine(machine: dict[str, str]) -> None:
    width = max(map(len, machine))
    for name, value in machine.items():
        print(f"{name.ljust(width)}  {value}")


def _print_summary(plan: Plan, sections: Sequence[Section], seconds: float) -> None:
    rows = [(section, row) for section in sections for row in section.rows]
    targets = sum(len(row.targets) for _, row in rows)
    missed = [(section, row, target) for section, row in rows for target in row.missed()]
    print(f"\n{targets - len(missed)} of {targets} targets reached")
    for section, row, target in missed:
        print(f"  MISSED  {section.title}: {row.label}: {target}")
    print(
        f"medians of {plan.rounds} rounds of {plan.seconds} s; took {seconds:.0f} s; "
        f"load average at the end {load_average()}"
    )


def _write_json(path: Path, plan: Plan, machine: dict[str, str], sections: Sequence[Section]) -> None:
    document = {
        "machine": machine,
        "plan": {"rounds": plan.rounds, "seconds": plan.seconds},
        "sections": {section.name: section.as_json() for section in sections},
    }
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
