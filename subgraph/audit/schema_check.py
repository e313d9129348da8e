"""Is what keeps the log from being changed still there? Functions, triggers, privileges and partitions.

What must be there is read from the migrations themselves, whose text the database was made by: there is no
list of hashes that somebody could forget to renew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from subgraph.audit.findings import FindingCode, Findings
from subgraph.storage import Database
from subgraph.storage.database import SERVICE_ROLE
from subgraph.storage.migrations import Migration

_TABLES = {
    "batch": "r",
    "entry": "p",
    "entry_hour": "r",
    "invocation_hour": "r",
    "log_head": "r",
    "log_mark": "r",
    "run_watch": "r",
    "tally_hour": "r",
    "tally_total": "r",
    "tile": "r",
}
_PARTITION = re.compile(r"entry_[0-9]{8,}")
_ALLOWED = {(name, "EXECUTE") for name in ("append", "maintain", "next_unended", "interrupt")}

# Bits of `pg_trigger.tgtype`: 1 for each row, 2 before, 4 INSERT, 8 DELETE, 16 UPDATE, 32 TRUNCATE.
_APPEND_ONLY = ("append_only", 2 | 8 | 16 | 32, "audit.refuse_change")
_ONE_ROW = ("one_row", 2 | 4 | 8 | 32, "audit.refuse_change")
_ONLY_GROWS = ("only_grows", 1 | 2 | 16, "audit.refuse_shrinking")

_ANY_FUNCTION = re.compile(r"CREATE (?:OR REPLACE )?FUNCTION audit\.|DROP FUNCTION audit\.")
_FUNCTION = re.compile(
    r"""
    CREATE\ (?:OR\ REPLACE\ )?FUNCTION\ audit\.(?P<name>\w+)\((?P<arguments>[^)]*)\)
    \ RETURNS\ (?P<result>[^\n]+)\n
    LANGUAGE\ (?P<language>\w+)(?P<options>[A-Z ]*)\n
    (?:SET\ search_path\ =\ (?P<path>[^\n]+)\n)?
    AS\ (?:\$\$(?P<body>.*?)\$\$|'(?P<quoted>[^']*)');
    |
    DROP\ FUNCTION\ audit\.(?P<dropped>\w+)\((?P<types>[^)]*)\);
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the schema `audit`, as its definition says."""

    name: str
    arguments: str
    result: str
    language: str
    definer: bool
    immutable: bool
    settings: str
    body: str

    @property
    def signature(self) -> tuple[str, str]:
        """What tells it from others: its name and the types of its arguments."""
        return self.name, ", ".join(part.split(" ")[-1] for part in self.arguments.split(", "))


def defined_functions(migrations: Sequence[Migration]) -> dict[tuple[str, str], Function]:
    """Read the functions that migrations leave behind, by signature.

    Raises `ValueError` for a definition that is written in another way than ours: it would not be checked.
    """
    functions: dict[tuple[str, str], Function] = {}
    for migration in migrations:
        statements = list(_FUNCTION.finditer(migration.sql))
        if len(statements) != len(_ANY_FUNCTION.findall(migration.sql)):
            raise ValueError(
                f"migration {migration.version:04d} defines a function in a form that is not known"
            )
        for found in statements:
            if found["dropped"] is not None:
                del functions[found["dropped"], found["types"]]
                continue
            function = Function(
                name=found["name"],
                arguments=found["arguments"],
                result=found["result"].replace("TABLE (", "TABLE("),
                language=found["language"],
                definer="SECURITY DEFINER" in found["options"],
                immutable="IMMUTABLE" in found["options"],
                settings="" if found["path"] is None else f"search_path={found['path']}",
                body=found["quoted"] if found["body"] is None else found["body"],
            )
            functions[function.signature] = function
    return functions


async def check_schema(database: Database, findings: Findings) -> None:
    """Report each part of the schema `audit` that is not as the migrations made it."""
    await _check_functions(database, findings)
    tables = await _check_tables(database, findings)
    await _check_triggers(database, tables, findings)
    await _check_partitions(database, findings)
    for row in await database.fetch("audit_privileges", SERVICE_ROLE):
        if (row["object"], row["privilege"]) not in _ALLOWED:
            text = f"The role {SERVICE_ROLE} has the privilege {row['privilege']} of {row['object']}."
            findings.add(FindingCode.PRIVILEGE_EXCESSIVE, text)


async def _check_functions(database: Database, findings: Findings) -> None:
    expected = defined_functions(database.migrations())
    rows = await database.fetch("audit_functions")
    present = {function.signature: function for function in (Function(**dict(row)) for row in rows)}
    for signature in sorted(expected.keys() | present.keys()):
        if expected.get(signature) == present.get(signature):
            continue
        if signature not in present:
            what = "is missing"
        else:
            what = "is not the one of the migrations" if signature in expected else "is of no migration"
        name, types = signature
        findings.add(FindingCode.FUNCTION_DIFFERS, f"The function audit.{name}({types}) {what}.")


async def _check_tables(database: Database, findings: Findings) -> list[str]:
    """Return the names of all tables of the log, after reporting those that are not what they must be."""
    rows = await database.fetch("audit_tables")
    names = {row["name"] for row in rows if row["here"]}
    for name in sorted(_TABLES.keys() - names):
        findings.add(FindingCode.TABLE_DIFFERS, f"The table audit.{name} is missing.")
    for row in rows:
        name = row["name"]
        partition = row["parent"] == "entry" and row["parent_here"] and _PARTITION.fullmatch(name)
        if not row["here"] or (row["kind"], row["parent"]) != (
            _TABLES.get(name, "r"),
            "entry" if partition else None,
        ):
            findings.add(FindingCode.TABLE_DIFFERS, f"The relation {name} is of another kind, or parent.")
        elif name not in _TABLES and not partition:
            findings.add(FindingCode.TABLE_DIFFERS, f"The table audit.{name} is of no migration.")
        if row["policies"] or row["rules"]:
            text = f"The table audit.{name} has rules or policies, which change what is read or written."
            findings.add(FindingCode.TABLE_DIFFERS, text)
    return sorted(names)


async def _check_triggers(database: Database, tables: Sequence[str], findings: Findings) -> None:
    expected = {
        (name, *_APPEND_ONLY) for name in tables if name in {"entry", "tile"} or _PARTITION.fullmatch(name)
    }
    expected |= {("log_head", *_ONE_ROW), ("log_head", *_ONLY_GROWS)}
    for row in await database.fetch("audit_triggers"):
        found = (row["table_name"], row["name"], row["type"], row["function"])
        place = f"The trigger {row['name']} of audit.{row['table_name']}"
        if found not in expected:
            findings.add(FindingCode.TRIGGER_DIFFERS, f"{place} is not one of the migrations.")
            continue
        expected.remove(found)
        if row["enabled"] != "A" or row["limited"]:
            findings.add(FindingCode.TRIGGER_DIFFERS, f"{place} is not enabled for every change.")
    for table, name, *_ in sorted(expected):
        findings.add(FindingCode.TRIGGER_DIFFERS, f"The trigger {name} of audit.{table} is missing.")


async def _check_partitions(database: Database, findings: Findings) -> None:
    """The partitions adjoin each other, and there is one after that which the next entry goes to."""
    size = await database.fetchval("audit_size") or 0
    rows = await database.fetch("audit_partitions")
    width = 0
    stop: int | None = None
    for row in rows:
        if row["start"] is None or row["stop"] is None or (width and row["stop"] - row["start"] != width):
            findings.add(FindingCode.TABLE_DIFFERS, f"The partition audit.{row['name']} has other bounds.")
            continue
        if stop is not None and row["start"] != stop:
            text = "there is no partition for them."
            findings.add(FindingCode.PARTITION_MISSING, text, stop, row["start"] - 1)
        width, stop = row["stop"] - row["start"], row["stop"]
    if stop is None or stop <= size + width:
        text = "there is no partition ahead for them."
        first = stop or size
        findings.add(FindingCode.PARTITION_MISSING, text, first, first + max(width, 1) - 1)
