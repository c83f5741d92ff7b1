"""Files as lines: CSV and JSON lines, plain or gzip, read one line at a time."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from tournee.importing.mapping import Mapping, Source

_CELL_LIMIT = 1_000_000


class UnusableFile(ValueError):
    """The file cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number in the file, and its cells or what is wrong with it."""

    number: int
    cells: dict[str, Any]
    problem: str | None = None
    raw: str = ""


class Counted(io.RawIOBase):
    """A file that says how much of it has been read."""

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


@contextmanager
def open_lines(path: Path, mapping: Mapping) -> Iterator[tuple[Iterator[Line], Counted]]:
    """The file's lines; raises UnusableFile where there are none or the header is not the mapping's."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnusableFile(f"{path}: {error.strerror}") from None
    with file:
        counted = Counted(file)
        plain: Any = io.BufferedReader(counted)
        if plain.peek(2)[:2] == b"\x1f\x8b":
            plain = gzip.GzipFile(fileobj=plain)
        try:
            yield _lines(path, plain, mapping), counted
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UnusableFile(f"{path}: the gzip file is damaged: {error}") from None
        except UnicodeDecodeError as error:
            raise UnusableFile(f"{path}: {error}") from None


def _lines(path: Path, plain: IO[bytes], mapping: Mapping) -> Iterator[Line]:
    source = mapping.source
    encoding = (
        "utf-8-sig" if source.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else source.encoding
    )
    # Bytes that are no text stay recognisable, so that only their cell is lost.
    text = io.TextIOWrapper(plain, encoding=encoding, errors="surrogateescape", newline="")
    name = path.name.lower().removesuffix(".gz")
    form = source.format or ("jsonl" if name.endswith((".jsonl", ".ndjson")) else "csv")
    if form == "jsonl":
        return _json_lines(text)
    return _csv_lines(path, text, source, mapping.used_columns())


def _csv_lines(path: Path, text: IO[str], source: Source, used: set[str]) -> Iterator[Line]:
    csv.field_size_limit(_CELL_LIMIT)
    reader = csv.reader(text, delimiter=source.delimiter)
    header = source.header or [name.strip() for name in next(reader, [])]
    if not header:
        raise UnusableFile(f"{path}: the file is empty")
    for name in sorted(used):
        if header.count(name) != 1:
            times = "twice" if name in header else "not"
            raise UnusableFile(f"{path}: the header names the column {name!r} {times}; it has {header}")
    return _csv_rows(reader, header)


def _csv_rows(reader: Any, header: list[str]) -> Iterator[Line]:
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, {}, f"cannot be read: {error}")
            continue
        if not row:
            continue
        if len(row) != len(header):
            problem = f"has {len(row)} cells where the header has {len(header)}"
            if reader.line_num > number:
                problem += f", and runs to line {reader.line_num}: is a quote missing?"
            yield Line(number, {}, problem, ",".join(row))
        else:
            yield Line(number, dict(zip(header, row, strict=True)))


def _json_lines(text: IO[str]) -> Iterator[Line]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            yield Line(number, {}, "is no JSON", line)
            continue
        if isinstance(value, dict):
            yield Line(number, flat(value))
        else:
            yield Line(number, {}, "is no JSON object", line)


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Objects within the object, as columns such as `address.city`."""
    cells: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            cells |= flat(inner, f"{prefix}{name}.")
        else:
            cells[prefix + name] = inner
    return cells
