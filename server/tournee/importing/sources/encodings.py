"""Finds the encoding of a text: from the mapping, from its first bytes, or UTF-8 if that is possible."""

from __future__ import annotations

import codecs
from pathlib import Path

from tournee.importing.sources.lines import UnusableFile

# The longer marks come first, because the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAY = 'say which in the mapping, such as encoding = "{}" under [source]'


def encoding_of(path: Path, head: bytes, named: str | None) -> str:
    """Return the encoding that the mapping names, else that of the byte-order mark, else UTF-8; raises
    UnusableFile if the text does not look like UTF-8.
    """
    if named is not None:
        same = codecs.lookup(named).name
        return "utf-8-sig" if same == "utf-8" else named
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    if b"\x00" in head[:200]:
        _refuse_wide(path, head)
    if not _may_be_utf8(head):
        raise UnusableFile(f"{path}: the file is not UTF-8; {_SAY.format('cp1252')}")
    return "utf-8-sig"


def _refuse_wide(path: Path, head: bytes) -> None:
    """Raise UnusableFile if the text looks like UTF-16, where every second byte of Latin letters is zero."""
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = head[offset:200:2]
        if zeros.count(0) > 0.8 * len(zeros):
            raise UnusableFile(f"{path}: the file is not UTF-8; {_SAY.format(encoding)}")


def _may_be_utf8(head: bytes) -> bool:
    """Return whether at least half of the non-ASCII letters are valid UTF-8. Then the invalid ones cost only
    their cells; otherwise the text is in another encoding.
    """
    text = head.decode("utf-8", "surrogateescape")
    # The last letter may be cut off.
    strange = [letter for letter in text[:-3] if letter >= "\x80"]
    damaged = sum("\udc80" <= letter <= "\udcff" for letter in strange)
    return not damaged or damaged < len(strange) / 2
