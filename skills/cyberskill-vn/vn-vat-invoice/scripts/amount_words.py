"""An amount of money in Vietnamese words.

The twin of `src/words.ts`; references/amount-in-words.md has the rules.
"""

from __future__ import annotations

DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
SCALES = ((1_000_000, " triệu"), (1000, " nghìn"), (1, ""))
BILLION = 1_000_000_000


def amount_in_words(amount: int, currency: str) -> str:
    """Read whole đồng, or hundredths of any other currency, of at most 18 digits."""
    words = f"{_whole_words(amount)} đồng" if currency == "VND" else f"{_with_hundredths(amount)} {currency}"
    return words[0].upper() + words[1:]


def _with_hundredths(amount: int) -> str:
    whole, hundredths = _whole_words(amount // 100), amount % 100
    if not hundredths:
        return whole
    # Both digits are read, so that 0.5 and 0.05 differ: "năm mươi" and "không năm".
    return f"{whole} phẩy {f'không {DIGITS[hundredths]}' if hundredths < 10 else _two_digits(hundredths)}"


def _whole_words(number: int) -> str:
    return _read(number, False) if number else DIGITS[0]


def _read(number: int, inside: bool) -> str:
    """Read a part; `inside`: something stands before it, so that its hundreds are read even where zero."""
    if number >= BILLION:
        billions, rest = divmod(number, BILLION)
        words = f"{_read(billions, inside)} tỷ"
        return f"{words} {_read(rest, True)}" if rest else words
    parts: list[str] = []
    for scale, name in SCALES:
        group, number = divmod(number, scale)
        if group:
            parts.append(_three_digits(group, inside or bool(parts)) + name)
    return " ".join(parts)


def _three_digits(number: int, inside: bool) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds and not inside:
        return _two_digits(rest)
    start = f"{DIGITS[hundreds]} trăm"
    if not rest:
        return start
    return f"{start} {f'lẻ {DIGITS[rest]}' if rest < 10 else _two_digits(rest)}"


def _two_digits(number: int) -> str:
    tens, ones = divmod(number, 10)
    if not tens:
        return DIGITS[ones]
    start = "mười" if tens == 1 else f"{DIGITS[tens]} mươi"
    if not ones:
        return start
    if ones == 5:
        return f"{start} lăm"
    if tens > 1 and ones == 1:
        return f"{start} mốt"
    if tens > 1 and ones == 4:
        return f"{start} tư"
    return f"{start} {DIGITS[ones]}"
