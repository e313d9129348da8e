"""In which language to ask back."""

from __future__ import annotations

import re

from subgraph.routing.extractors.text import Text

# ă â đ ê ô ơ ư and what carries a tone: letters that no other language here has in running text.
_LETTERS = re.compile("[ăđơưĂĐƠƯ\u1ea0-\u1ef9]")
_WORDS = re.compile(
    r"(?<!\w)(?:kiem tra|ma so thue|hoa don|chuyen khoan|chuyen tien|so tien|tai khoan|ngan hang|ke khai"
    r"|to khai|nghi dinh|thong tu|thue|can cuoc|dinh danh|giup|cho (?:toi|minh|em|anh|chi|khach)|xuat|lap hoa"
    r"|thang|khong|cong ty|trieu|nghin|noi dung|cua|la gi|vui long)(?!\w)"
)


def is_vietnamese(text: Text) -> bool:
    """Tell whether a query is in Vietnamese: by its letters, or by words where it was typed without marks."""
    return _LETTERS.search(text.original) is not None or _WORDS.search(text.folded) is not None
