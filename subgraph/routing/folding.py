"""Queries and keywords in the form in which they are compared: without marks, case and punctuation."""

from __future__ import annotations

import re
import unicodedata

from subgraph.errors import InputInvalid

QUERY_LIMIT = 4096
"""Bound of a query, in characters, before anything is done with it: a page of text. A request to a router is
a sentence or two; what is longer is a document, and belongs into a skill's input."""

_TOKEN = re.compile(r"[^\W_]+")
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u115f\u1160\u3164\uffa0]")
"""Control characters, and letters without a shape (Hangul fillers), which count as part of a word."""
_VIETNAMESE = re.compile(
    "[đĐ"
    "áàảãạăắằẳẵặâấầẩẫậÁÀẢÃẠĂẮẰẲẴẶÂẤẦẨẪẬ"
    "éèẻẽẹêếềểễệÉÈẺẼẸÊẾỀỂỄỆ"
    "íìỉĩịÍÌỈĨỊ"
    "óòỏõọôốồổỗộơớờởỡợÓÒỎÕỌÔỐỒỔỖỘƠỚỜỞỠỢ"
    "úùủũụưứừửữựÚÙỦŨỤƯỨỪỬỮỰ"
    "ýỳỷỹỵÝỲỶỸỴ]"
)


def checked(query: str) -> str:
    """Return a query in NFC, the form that extractors read and the record keeps.

    Raises `InputInvalid` for one over `QUERY_LIMIT`, and for one that is no Unicode text: half of a
    surrogate pair can be neither hashed nor stored.
    """
    if len(query) > QUERY_LIMIT:
        raise InputInvalid(f"the query is over {QUERY_LIMIT} characters: it has {len(query)}")
    if query.isascii():
        return query
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InputInvalid(f"the query is no Unicode text: a lone surrogate at {error.start}") from None
    return unicodedata.normalize("NFC", query)


def fold(text: str) -> str:
    """Fold a text: NFC, lower case, NFD, no combining marks, đ→d, all else but letters and digits a space.

    Words are separated by one space each, with none at either end. Folding twice changes nothing.
    """
    return " ".join(tokens(text))


def tokens(text: str) -> list[str]:
    """Return the words of a folded text: runs of letters and digits."""
    if text.isascii():
        return _TOKEN.findall(text.lower())
    lowered = unicodedata.normalize("NFC", text).lower()
    bare = [
        character
        for character in unicodedata.normalize("NFD", lowered)
        if not unicodedata.category(character).startswith("M")
    ]
    return _TOKEN.findall("".join(bare).replace("đ", "d"))


def plain_tokens(text: str) -> list[str]:
    """Return the words of a text as an eye reads them, for rules that nobody may slip past.

    Beside folding, characters that show nothing are dropped instead of taken for a space, and those that
    are another shape of a letter (full width, bold, superscript) are taken for that letter (NFKC).
    """
    seen = _UNSEEN.sub("", text)
    if seen.isascii():
        return tokens(seen)
    shown = "".join(character for character in seen if unicodedata.category(character) != "Cf")
    return tokens(unicodedata.normalize("NFKC", shown))


def has_vietnamese_diacritics(query: str) -> bool:
    """Whether a query in NFC has a letter as Vietnamese writes it.

    Those that count: ă, â, đ, ê, ô, ơ, ư, and a, ă, â, e, ê, i, o, ô, ơ, u, ư and y with one of the five
    tone marks (acute, grave, hook above, tilde, dot below), in either case. French and Portuguese share
    some of them ("résumé"); two points for a region alone route nothing.
    """
    return not query.isascii() and _VIETNAMESE.search(query) is not None
