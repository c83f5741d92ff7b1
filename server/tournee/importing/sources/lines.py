"""The line of a file in any format: its number, and its cells by column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Limits of one line, and of one list in it. A larger line is an attack, or the file is not what it seems.
MOST_CHARACTERS = 1_000_000
MOST_COLUMNS = 5_000
MOST_ENTRIES = 2_000
_LONGEST_NAME = 500
_SHOWN = 2_000


class UnusableFile(ValueError):
    """The file cannot be read at all."""


class TooMuch(ValueError):
    """A line holds more than a line may."""


@dataclass(slots=True)
class Line:
    """One line: its number in the file, and its cells or its problem. `raw` is its beginning, `size` its
    approximate number of characters.
    """

    number: int
    cells: dict[str, Any]
    problem: str | None = None
    raw: str = ""
    size: int = 0


def matched(path: Path, header: list[str], used: set[str], delimiter: str | None = None) -> list[str]:
    """Return the header; raises UnusableFile unless it has each column of the mapping exactly once."""
    if not header:
        raise UnusableFile(f"{path}: the file is empty")
    for name in sorted(used):
        if header.count(name) != 1:
            times = "twice" if name in header else "not"
            there = ", ".join(header)[:_SHOWN]
            raise UnusableFile(
                f"{path}: the header names the column {name!r} {times}; it has: {there}"
                + _other_delimiter(header, delimiter)
            )
    return header


def _other_delimiter(header: list[str], delimiter: str | None) -> str:
    """Return a hint if the header is one cell that holds another delimiter: the likeliest mistake."""
    if delimiter is None or len(header) > 1:
        return ""
    other = next((mark for mark in ";\t,|" if mark != delimiter and mark in header[0]), None)
    return "" if other is None else f' (is the delimiter {other!r}? Say delimiter = "…" under [source])'


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the object's values by column; those of nested objects get names such as `address.city`."""
    cells: dict[str, Any] = {}
    for name, cell in _walk(value, prefix):
        if len(cells) >= MOST_COLUMNS:
            raise TooMuch(f"has more than {MOST_COLUMNS:,} columns")
        cells[name] = cell
    return cells


def _walk(value: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    pending = [(prefix, iter(value.items()))]
    while pending:
        before, entries = pending[-1]
        for name, inner in entries:
            # Nested names repeat the outer ones: without a limit they grow with the square of the line.
            if len(before) + len(name) > _LONGEST_NAME:
                raise TooMuch(f"has a column whose name is longer than {_LONGEST_NAME} characters")
            if isinstance(inner, dict):
                pending.append((f"{before}{name}.", iter(inner.items())))
                break
            yield before + name, inner
        else:
            pending.pop()
