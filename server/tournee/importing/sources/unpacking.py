"""Unpacks the bytes of a file as they are read, and recognises kinds of files by their first bytes."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO, Any

from tournee.importing.sources.lines import UnusableFile

HEAD = 64_000
_ZIP = b"PK\x03\x04"
_KNOWN = (
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file (.xls): save it as .xlsx or as CSV"),
    (b"%PDF", "a PDF: tables in it cannot be read; ask for the data as CSV"),
    (b"\x1f\x9d", "compressed in an unsupported format: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it, or compress it with gzip"),
    (b"\xfd7zXZ", "compressed with xz: unpack it, or compress it with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it, or compress it with gzip"),
    (b"SQLite format 3\x00", "an SQLite database: export the table as CSV"),
)


class Counted(io.RawIOBase):
    """A file that counts how much of it has been read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.read_bytes += len(data)
        return len(data)


def unpacked(counted: Counted) -> io.BufferedReader[Any]:
    """Return the content; it is unpacked only as far as it is read."""
    plain: io.BufferedReader[Any] = io.BufferedReader(counted, HEAD)
    if plain.peek(2)[:2] == b"\x1f\x8b":
        return io.BufferedReader(gzip.GzipFile(fileobj=plain), HEAD)
    return plain


def require_text(path: Path, head: bytes) -> None:
    """Raise UnusableFile, saying what the file is, unless it may be text."""
    for magic, words in _KNOWN:
        if head.startswith(magic):
            raise UnusableFile(f"{path}: this is {words}")
    if head.startswith(_ZIP):
        raise UnusableFile(f"{path}: this is {_archive(head)}")
    if head.lstrip()[:9].lower() in (b"<!doctype", b"<html><he") or head.lstrip()[:5].lower() == b"<html":
        raise UnusableFile(f"{path}: this is a web page, not a table: download the file itself")


def is_workbook(head: bytes) -> bool:
    return head.startswith(_ZIP) and _is_excel(head)


def _archive(head: bytes) -> str:
    if _is_excel(head):
        return "an Excel file, but the mapping says otherwise: leave `format` out, or save it as CSV"
    return "a ZIP archive: unpack it first"


def _is_excel(head: bytes) -> bool:
    """Return whether the archive's first entries have the names that only workbooks have."""
    return b"[Content_Types].xml" in head or b"xl/" in head[:4000]
