"""The indicators of 01/GTGT and their formulas, in whole đồng.

The twin of `src/indicators.ts`; references/gdt-q-return-schema-v3.md names each.
"""

from __future__ import annotations

from collections.abc import Mapping

INDICATORS = (
    *(
        "ct21",
        "ct22",
        "ct23",
        "ct24",
        "ct23a",
        "ct24a",
        "ct25",
        "ct26",
        "ct27",
        "ct28",
        "ct29",
        "ct30",
        "ct31",
    ),
    *("ct32", "ct33", "ct32a", "ct34", "ct35", "ct36", "ct37", "ct38", "ct39a", "ct40a", "ct40b", "ct40"),
    *("ct41", "ct42", "ct43"),
)
"""In the order of the form."""


def indicators_of(basis: Mapping[str, int]) -> dict[str, int]:
    """Compute what follows from what is stated or adds up.

    Whether 40b and 42 are within 40a and 41 is for the caller to see.
    """
    ct = dict(basis)
    ct["ct27"] = ct["ct29"] + ct["ct30"] + ct["ct32"] + ct["ct32a"]
    ct["ct28"] = ct["ct31"] + ct["ct33"]
    ct["ct34"] = ct["ct26"] + ct["ct27"]
    ct["ct35"] = ct["ct28"]
    ct["ct36"] = ct["ct35"] - ct["ct25"]
    balance = ct["ct36"] - ct["ct22"] + ct["ct37"] - ct["ct38"] - ct["ct39a"]
    ct["ct40a"] = max(0, balance)
    ct["ct40"] = ct["ct40a"] - ct["ct40b"]
    ct["ct41"] = max(0, -balance)
    ct["ct43"] = ct["ct41"] - ct["ct42"]
    return {name: ct[name] for name in INDICATORS}
