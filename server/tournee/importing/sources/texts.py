"""Reads CSV and JSON lines. The memory for one record is limited."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from tournee.importing.mapping.columns import Source
from tournee.importing.sources.lines import MOST_CHARACTERS, Line, TooMuch, UnusableFile, flat, matched

_SHOWN = 300
_TOO_LONG = f"is longer than {MOST_CHARACTERS:,} characters"


class TooLong(Exception):
    """A record is longer than a record may be."""


class Lines:
    """Yields the lines of a text; raises TooLong when one record takes more than its share."""

    def __init__(self, text: IO[str]) -> None:
        self.text = text
        self.number = 0
        self.taken = 0
        # Whether the text has ended; a row that is returned after that is incomplete.
        self.ended = False

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self.text.readline(MOST_CHARACTERS + 1)
        if not line:
            self.ended = True
            raise StopIteration
        self.number += 1
        self.taken += len(line)
        if self.taken > MOST_CHARACTERS:
            self._pass_rest(line)
            raise TooLong
        return line

    def begin(self) -> None:
        """Begin another record."""
        self.taken = 0

    def _pass_rest(self, line: str) -> None:
        while line and not line.endswith(("\n", "\r")):
            line = self.text.readline(MOST_CHARACTERS)


def csv_lines(path: Path, text: IO[str], source: Source, used: set[str]) -> Iterator[Line]:
    """Return the rows of a CSV file; raises UnusableFile if the header does not fit the mapping."""
    csv.field_size_limit(MOST_CHARACTERS)
    lines = Lines(text)
    reader = csv.reader(lines, delimiter=source.delimiter)
    header = source.header
    try:
        for _ in range(source.header_line - 1):
            lines.begin()
            next(lines, "")
        lines.begin()
        header = header or [name.strip() for name in next(reader, [])]
    except (TooLong, csv.Error):
        raise UnusableFile(f"{path}: the header line cannot be read") from None
    return _csv_rows(reader, lines, matched(path, header, used, source.delimiter))


def _csv_rows(reader: Any, lines: Lines, header: list[str]) -> Iterator[Line]:
    while True:
        lines.begin()
        number = lines.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except TooLong:
            yield Line(number, {}, _TOO_LONG + _quote(lines, number))
            continue
        except csv.Error as error:
            yield Line(number, {}, f"cannot be read: {error}")
            continue
        if lines.ended:
            yield Line(number, {}, "opens a quote that is never closed" + _quote(lines, number), _raw(row))
        elif row and len(row) != len(header):
            problem = f"has {len(row)} cells where the header has {len(header)}"
            yield Line(number, {}, problem + _quote(lines, number), _raw(row))
        elif row:
            yield Line(number, dict(zip(header, row, strict=True)), size=lines.taken)


def _quote(lines: Lines, number: int) -> str:
    return f", and runs to line {lines.number}: is a quote missing?" if lines.number > number else ""


def _raw(row: list[str]) -> str:
    return ",".join(cell[:_SHOWN] for cell in row[:100])[:_SHOWN]


def json_lines(text: IO[str]) -> Iterator[Line]:
    """Yield the objects of a file with one on each line."""
    lines = Lines(text)
    while True:
        lines.begin()
        try:
            line = next(lines)
        except StopIteration:
            return
        except TooLong:
            yield Line(lines.number, {}, _TOO_LONG)
            continue
        if line.strip():
            yield _json_line(lines.number, line)


def _json_line(number: int, line: str) -> Line:
    try:
        value = orjson.loads(line)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return Line(number, {}, "is not JSON", line[:_SHOWN])
    if not isinstance(value, dict):
        return Line(number, {}, "is not a JSON object", line[:_SHOWN])
    try:
        return Line(number, flat(value), size=len(line))
    except TooMuch as problem:
        return Line(number, {}, str(problem), line[:_SHOWN])
