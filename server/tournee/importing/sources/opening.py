"""Opens a file: finds out its format, unpacks and decodes it, and yields its lines."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tournee.importing.mapping.model import Mapping
from tournee.importing.sources.documents import json_records
from tournee.importing.sources.encodings import encoding_of
from tournee.importing.sources.lines import Line, UnusableFile
from tournee.importing.sources.texts import csv_lines, json_lines
from tournee.importing.sources.unpacking import HEAD, Counted, is_workbook, require_text, unpacked
from tournee.importing.sources.workbooks import workbook_rows

_BY_NAME = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".geojson": "geojson",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
}


@contextmanager
def open_lines(path: Path, mapping: Mapping) -> Iterator[tuple[Iterator[Line], Counted]]:
    """Yield the file's lines; raises UnusableFile if it cannot be read or the header does not fit."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnusableFile(f"{path}: {error.strerror}") from None
    with file:
        counted = Counted(file)
        try:
            yield _lines(path, unpacked(counted), mapping), counted
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UnusableFile(f"{path}: the gzip file is damaged: {error}") from None
        except UnicodeError as error:
            raise UnusableFile(f"{path}: {error}") from None


def _lines(path: Path, plain: io.BufferedReader[Any], mapping: Mapping) -> Iterator[Line]:
    source = mapping.source
    head = plain.peek(HEAD)
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    form = source.format or ("xlsx" if is_workbook(head) else _BY_NAME.get(suffix, "csv"))
    if form == "xlsx":
        return _workbook(path, head, mapping)
    require_text(path, head)
    encoding = encoding_of(path, head, source.encoding)
    if form in ("json", "geojson") and not (form == "json" and _is_a_line(source.records, head)):
        return json_records(
            path, plain, encoding, source.records or ("features" if form == "geojson" else None)
        )
    # Bytes that cannot be decoded stay recognisable, so that only their cell is lost.
    text = io.TextIOWrapper(plain, encoding=encoding, errors="surrogateescape", newline="")
    if form in ("jsonl", "json"):
        return json_lines(text)
    return csv_lines(path, text, source, mapping.used_columns())


def _workbook(path: Path, head: bytes, mapping: Mapping) -> Iterator[Line]:
    if not is_workbook(head):
        require_text(path, head)
        raise UnusableFile(f"{path}: this is not an Excel workbook (.xlsx)")
    if path.name.lower().endswith(".gz"):
        raise UnusableFile(f"{path}: a workbook is already compressed: unpack the gzip file")
    return workbook_rows(path, mapping.source, mapping.used_columns())


def _is_a_line(records: str | None, head: bytes) -> bool:
    """Return whether a file named .json holds an object on each line, as many do."""
    first = head.lstrip().partition(b"\n")[0].strip()
    return records is None and first.startswith(b"{") and first.endswith(b"}")
