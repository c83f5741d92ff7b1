"""Opening a file: what it is, how it is unpacked and decoded, and who reads its lines."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tournee.importing.mapping.model import Mapping
from tournee.importing.sources.encodings import encoding_of
from tournee.importing.sources.lines import Line, UnusableFile
from tournee.importing.sources.texts import csv_lines, json_lines
from tournee.importing.sources.unpacking import HEAD, Counted, require_text, unpacked

_BY_NAME = {".jsonl": "jsonl", ".ndjson": "jsonl"}


@contextmanager
def open_lines(path: Path, mapping: Mapping) -> Iterator[tuple[Iterator[Line], Counted]]:
    """The file's lines; raises UnusableFile where there are none or the header is not the mapping's."""
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
    require_text(path, head)
    encoding = encoding_of(path, head, source.encoding)
    # Bytes that are no text stay recognisable, so that only their cell is lost.
    text = io.TextIOWrapper(plain, encoding=encoding, errors="surrogateescape", newline="")
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if (source.format or _BY_NAME.get(suffix, "csv")) == "jsonl":
        return json_lines(text)
    return csv_lines(path, text, source, mapping.used_columns())
