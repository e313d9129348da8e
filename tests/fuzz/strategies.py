"""The inputs of hypothesis: documents with a grammar, and text with the marks that mean something."""

from __future__ import annotations

from hypothesis import strategies as st

_KEYS = st.sampled_from(["name", "description", "license", "compatibility", "allowed-tools", "metadata", "x"])
_TEXT = st.text(max_size=40)
_MARKS = st.lists(st.sampled_from([*"()[]{},*/:?%@.~ \t\n\0", "read_file", "https://", "ế", "xn--"]))


def documents() -> st.SearchStrategy[bytes]:
    """Documents that begin and end a front matter, and any bytes."""
    line = st.builds("{}: {}".format, _KEYS, _TEXT) | _TEXT
    block = st.lists(line, max_size=8).map("\n".join)
    fenced = st.builds("---\n{}\n---\n{}".format, block, _TEXT)
    return fenced.map(lambda text: text.encode(errors="replace")) | st.binary(max_size=400)


def tools() -> st.SearchStrategy[str]:
    """Texts of `allowed-tools`."""
    return st.text(max_size=200) | _MARKS.map("".join)
