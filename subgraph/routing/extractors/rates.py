"""VAT rates, by the labels of the tax authority's format: 0%, 5%, 8%, 10%, KCT and KKKNT."""

from __future__ import annotations

import re

from subgraph.routing.extractors.labels import Label, label_before
from subgraph.routing.extractors.text import Span, Text

_RATES = {"0": "0%", "5": "5%", "8": "8%", "10": "10%"}
_PERCENT = re.compile(r"(?<![\w.,/+-])([0-9]{1,2})(?:[.,]0{1,2})? {0,2}(?:%|phan tram|percent|pct)(?!\w)")
_BARE = re.compile(
    r"(?<!\w)(?:thue suat|vat rate|tax rate|vat|thue vat|thue gtgt|gtgt)(?: la| of|:| =)? {0,2}([0-9]{1,2})"
    r"(?! {0,2}(?:%|phan tram|percent)| {0,2}[a-z]|[0-9]|[.,/-][0-9])"
)
_WORDS = (
    (
        re.compile(r"(?<!\w)(?:kct|khong chiu thue|not subject to vat|vat exempt|exempt from vat)(?!\w)"),
        "KCT",
    ),
    (
        re.compile(
            r"(?<!\w)(?:kkknt|khong (?:phai )?ke khai(?:,? (?:khong )?(?:phai )?(?:tinh )?nop thue)?)(?!\w)"
        ),
        "KKKNT",
    ),
)
_NAMED_AFTER = re.compile(r" {0,2}(?:vat|thue|gtgt|tax)(?!\w)")
_NO_RATE = frozenset({Label.DISCOUNT, Label.AMOUNT})


def rates(text: Text) -> tuple[str | None, ...]:
    """Return the distinct rates in the order of the text; None for one that is called VAT and is not known.

    A discount or a deposit is no rate. What is called a tax counts alone, if there is any.
    """
    found: list[tuple[int, bool, str | None]] = []
    for match in _PERCENT.finditer(text.folded):
        label = label_before(text, Span(*match.span()))
        if _NAMED_AFTER.match(text.folded, match.end()):
            label = Label.RATE
        rate = _RATES.get(str(int(match.group(1))))
        if label is Label.RATE or (label not in _NO_RATE and rate is not None):
            found.append((match.start(), label is Label.RATE, rate))
    found += [
        (match.start(1), True, _RATES.get(str(int(match.group(1))))) for match in _BARE.finditer(text.folded)
    ]
    for pattern, rate in _WORDS:
        found += [(match.start(), True, rate) for match in pattern.finditer(text.folded)]
    called = [one for one in found if one[1]]
    return tuple(dict.fromkeys(rate for _, _, rate in sorted(called or found, key=lambda one: one[0])))
