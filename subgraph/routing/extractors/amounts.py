"""Amounts in đồng: "10 triệu", "1,5 tỷ", "500k", "10tr5", "2 tỷ rưỡi", "1.000.000", "1,000,000 VND".

A point groups thousands and a comma is decimal; groups of three digits are thousands either way where no unit
says something else. What can be read in two ways ("1,500 triệu", "10tr50") is found, with None for its value.
"""

from __future__ import annotations

import re
from fractions import Fraction

from subgraph.routing.extractors.labels import Label, label_before
from subgraph.routing.extractors.number_words import amounts_in_words, is_digit_word
from subgraph.routing.extractors.text import Found, Span, Text, spelt

MOST_AMOUNT = 9_999_999_999_999
"""The most that a transfer can have: thirteen digits."""

_LEAST_BARE = 1000
"""Fewer "dong" or "d" without marks are no amount: "2 dong" can be two lines."""

_SCALES = {
    "k": 10**3, "nghin": 10**3, "ngan": 10**3, "thousand": 10**3,
    "tr": 10**6, "trieu": 10**6, "million": 10**6, "mil": 10**6,
    "ty": 10**9, "ti": 10**9, "billion": 10**9, "bn": 10**9,
}  # fmt: skip
_SPELT = {
    "nghin": frozenset({"nghìn"}), "ngan": frozenset({"ngàn"}), "trieu": frozenset({"triệu"}),
    "ty": frozenset({"tỷ"}), "ti": frozenset({"tỉ"}), "tram": frozenset({"trăm"}),
    "dong": frozenset({"đồng"}),
    "ruoi": frozenset({"rưỡi"}), "d": frozenset({"đ"}),
}  # fmt: skip
_KEPT_APART = frozenset({Label.MST, Label.CCCD, Label.ACCOUNT, Label.CARD, Label.PHONE, Label.OTHER})

_NUMBER = re.compile(
    r"(?<![\w.,/+])(?<![^0-9]-)(?<!\A-)[0-9]{1,15}(?![0-9])(?:[.,][0-9]{1,15}(?![0-9])){0,5}(?![.,/-][0-9])"
)
_AHEAD = re.compile(r"(?<!\w)(?:vnd|₫) {0,2}\Z")
_UNIT_NAMES = r"nghin|ngan(?! {1,2}hang)|thousand|trieu|million|mil|tr|ty|ti(?! {1,2}vi)|billion|bn|k"
_UNIT = re.compile(rf" {{0,2}}(?:(tram) {{1,2}})?({_UNIT_NAMES})(?![^\W0-9])")
_PART = re.compile(rf" {{0,2}}([0-9]{{1,3}}) {{0,2}}({_UNIT_NAMES})(?!\w)")
_GLUED = re.compile(r"[0-9]{1,15}")
_GLUED_END = re.compile(r"(?!\w|[.,/-][0-9])")
_LOOSE = re.compile(r" ([0-9]|[0-9]{3})(?![\w%]|[.,/-][0-9]| ?%)")
_HALF = re.compile(r" {1,2}(ruoi)(?!\w)")
_CURRENCY = re.compile(r"( {0,2})(vnd|dong|d|₫)(?!\w)")
_FOREIGN = re.compile(r" {0,2}(?:(?:usd|eur|euros?|dollars?|yen|jpy|won|krw|(do))(?!\w)|[$€%])")
_BLANK_GROUP = re.compile(r"(?<![0-9])[0-9]{1,3} \Z")
# What can follow "1 triệu 5" without being counted by the five.
_TAIL = re.compile(
    r" {0,2}(?:[^\w ]|\Z)"
    r"| {1,2}(?:cho|vao|toi|den|qua|sang|vnd|dong|d|nhe|noi dung|nd|for|to|va|tu|stk|tk)(?!\w)"
)
_GROUPED = re.compile(r"[0-9]{1,3}(?:(?:\.[0-9]{3})+|(?:,[0-9]{3})+)")
_FRACTION = re.compile(
    r"([0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+),([0-9]+)|([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)\.([0-9]+)"
)
# What makes "350.000" money without a currency: somebody sends it, and nothing is counted by it.
_PAID = re.compile(
    r"(?<!\w)(?:chuyen|ck|gui|tra|hoan|nap|thanh toan|thu|tien|refund|pay|send|transfer|qr)(?!\w)"
    r"[^0-9\0]{0,24}\Z"
)
_PAID_REACH = 40
_PART_BEFORE = re.compile(
    r"(?:(?:(?<!\w)x|[\u00d7*]) {0,2}|[0-9] {1,2}(?:den|toi|to|hoac|hay|or) {1,2}"
    r"|(?:%|phan tram|[0-9]/[0-9]) (?:(?:cua|of) )?(?:so tien )?)\Z"
)
# "nửa triệu", "triệu rưỡi", "mấy nghìn": an amount is meant, and not said in a way that is read here.
_SCALE_ALONE = re.compile(r"(?<!\w)(?:trieu|nghin)(?!\w)")
_TIMES_AFTER = re.compile(r" {0,2}(?:x(?!\w)|x(?=[0-9])|[\u00d7*]|/ {0,2}[a-z])")
_WORD = re.compile(r" ([a-z]{2,5})(?!\w)")
_SEPARATOR = re.compile("[.,]")
_GROUP = 3
_AHEAD_REACH = 6


def amounts(text: Text) -> list[Found[int | None]]:
    """Return every amount, in the order of the text; None for one that can be read in two ways."""
    words = amounts_in_words(text)
    found = list(words)
    rest = text.without(one.span for one in words)
    done = 0
    for match in _NUMBER.finditer(rest.folded):
        if match.start() >= done:
            one = _Reader(rest, match).amount()
            if one is not None:
                found.append(one)
                done = one.span.end
    if not found:
        found += [Found(None, Span(*match.span())) for match in _SCALE_ALONE.finditer(rest.folded)]
    return sorted(found, key=lambda one: one.span)


def is_paid(text: Text, span: Span) -> bool:
    """Tell whether a word for paying stands before digits, which may then be an amount."""
    return _PAID.search(text.folded, max(0, span.start - _PAID_REACH), span.start) is not None


class _Reader:
    """Reads one amount from where its first number stands."""

    def __init__(self, text: Text, number: re.Match[str]) -> None:
        self._text = text
        self._number = number.group()
        self._end = number.end()
        ahead = _AHEAD.search(text.folded, max(0, number.start() - _AHEAD_REACH), number.start())
        self._ahead = ahead is not None
        self._start = number.start() if ahead is None else ahead.start()
        self._is_bare = False

    def amount(self) -> Found[int | None] | None:
        """Return the amount; None if the number is none."""
        scale = self._unit()
        if self._is_foreign():
            return None
        if self._is_part_of_a_number():
            marked = scale is not None or self._currency() is not None
            return self._found(None) if marked else None
        if scale is None:
            value = self._whole()
            if not self._is_money(value):
                return None
            if self._is_bare and (value is None or value < _LEAST_BARE or self._match(_GLUED_END) is None):
                return self._found(None)  # "số tiền 5 củ", "amount 1m5": in units that are not known here
        else:
            value = self._scaled(scale)
            self._currency()
        if value is None or value.denominator != 1 or self._is_said_of_one():
            return self._found(None)
        return self._found(value.numerator if 0 < value <= MOST_AMOUNT else None)

    def _found(self, value: int | None) -> Found[int | None]:
        return Found(value, Span(self._start, self._end))

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.match(self._text.folded, self._end)

    def _is_spelt(self, match: re.Match[str], group: int) -> bool:
        word = match.group(group)
        return word not in _SPELT or spelt(self._text, Span(*match.span(group)), _SPELT[word])

    def _unit(self) -> int | None:
        match = self._match(_UNIT)
        if match is None or not self._is_spelt(match, 2):
            return None
        hundred = match.group(1) is not None
        if hundred and not self._is_spelt(match, 1):
            return None
        self._end = match.end()
        return _SCALES[match.group(2)] * (100 if hundred else 1)

    def _is_foreign(self) -> bool:
        match = self._match(_FOREIGN)
        if match is None:
            return False
        # "do" without marks is a word of its own; only "đô" is a dollar.
        return match.group(1) is None or self._text.written(Span(*match.span(1))).lower() == "đô"

    def _is_money(self, value: Fraction | None) -> bool:
        """Tell whether a number without a unit is an amount: by currency, name, or groups of thousands."""
        label = label_before(self._text, Span(self._start, self._end))
        digits_alone = self._number.isdigit()
        if self._number[0] == "0" or (digits_alone and label in _KEPT_APART):
            return False
        marked = self._currency()
        self._is_bare = marked is None and not self._ahead
        if marked is not None:
            return marked or (value is not None and value >= _LEAST_BARE)
        if self._ahead:
            return True
        if label is Label.AMOUNT:
            return True
        if value is None or digits_alone or self._match(_GLUED_END) is None:
            return False
        return len(_SEPARATOR.findall(self._number)) > 1 or (
            self._match(_TAIL) is not None and is_paid(self._text, Span(self._start, self._end))
        )

    def _is_before(self, pattern: re.Pattern[str]) -> bool:
        return pattern.search(self._text.folded, max(0, self._start - _PAID_REACH), self._start) is not None

    def _is_said_of_one(self) -> bool:
        """Tell whether it is not the sum: "3 x 500.000đ", "500k/giờ", "2 đến 3 triệu", "50% của 3 triệu"."""
        return self._is_before(_PART_BEFORE) or self._match(_TIMES_AFTER) is not None

    def _currency(self) -> bool | None:
        """Step over a currency. True for one that means nothing else, False for "dong" or "d", else None."""
        match = self._match(_CURRENCY)
        if match is None or not self._is_spelt(match, 2):
            return None
        plain = self._text.written(Span(*match.span(2))).lower() in {"d", "dong"}
        if plain and match.group(2) == "d" and match.group(1):
            return None
        self._end = match.end()
        return not plain

    def _whole(self) -> Fraction | None:
        number = self._number
        if number.isdigit() or _GROUPED.fullmatch(number):
            return Fraction(int(_SEPARATOR.sub("", number)))
        return None

    def _scaled(self, scale: int) -> Fraction | None:
        base = self._decimal()
        smallest, parts = scale, Fraction(0)
        while (part := self._match(_PART)) is not None and self._is_spelt(part, 2):
            smaller = _SCALES[part.group(2)]
            if smaller >= smallest:
                break
            parts += int(part.group(1)) * smaller
            smallest = smaller
            self._end = part.end()
        extra = self._after(smallest)
        if base is None or extra is None:
            return None
        if base.denominator != 1 and (parts or extra):
            return None
        return base * scale + parts + extra

    def _after(self, scale: int) -> Fraction | None:
        """Read what follows a unit and has none: the 5 of "10tr5" and of "1 triệu 5", and "rưỡi"."""
        half = self._match(_HALF)
        if half is not None:
            self._end = half.end()
            return Fraction(scale, 2) if self._is_spelt(half, 1) else None
        glued = self._match(_GLUED)
        extra = glued or self._match(_LOOSE)
        if extra is None:
            return None if self._goes_on_in_words() else Fraction(0)
        self._end = extra.end()
        digits = extra.group().strip()
        ended = self._match(_GLUED_END if glued is not None else _TAIL)
        if len(digits) not in (1, _GROUP) or ended is None:
            return None
        return Fraction(int(digits) * scale, 10 ** len(digits))

    def _goes_on_in_words(self) -> bool:
        """Tell whether a digit's name follows: "1 triệu hai" is 1.2 million, "1 triệu hai lần" is not."""
        word = self._match(_WORD)
        return word is not None and is_digit_word(self._text.written(Span(*word.span(1))).lower())

    def _decimal(self) -> Fraction | None:
        """Read a number before a unit: 10, 1,5, 1.5, 1.234,5; None for 1,500, which may be either."""
        number = self._number
        separators = len(_SEPARATOR.findall(number))
        if not separators or (separators > 1 and _GROUPED.fullmatch(number)):
            return Fraction(int(_SEPARATOR.sub("", number)))
        match = _FRACTION.fullmatch(number)
        if match is None:
            return None
        whole, part = (match.group(1), match.group(2)) if match.group(1) else (match.group(3), match.group(4))
        if len(part) == _GROUP and separators == 1:
            return None
        return Fraction(f"{_SEPARATOR.sub('', whole)}.{part}")

    def _is_part_of_a_number(self) -> bool:
        """Tell whether digits before belong to it, or may: "5-10 triệu", "1 500 000 đ",
        "tháng 6 500 nghìn"."""
        if self._text.folded[self._start - 1 : self._start] == "-":
            return True
        if len(self._number) != _GROUP or self._ahead:
            return False
        return (
            _BLANK_GROUP.search(self._text.folded, max(0, self._start - _GROUP - 2), self._start) is not None
        )
