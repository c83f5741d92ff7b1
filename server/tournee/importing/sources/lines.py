"""A line of a file of any format: a number, and cells by column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What one line or one list in it may hold. Past it somebody means harm, or the file is not what it seems.
MOST_CHARACTERS = 1_000_000
MOST_COLUMNS = 5_000
MOST_ENTRIES = 2_000
_LONGEST_NAME = 500
_SHOWN = 2_000


class UnusableFile(ValueError):
    """The file cannot be read at all."""


class TooMuch(ValueError):
    """A line holds more than any line may."""


@dataclass(slots=True)
class Line:
    """One line: its number in the file, and its cells or what is wrong with it. `raw` is its beginning,
    `size` about how many characters it holds."""

    number: int
    cells: dict[str, Any]
    problem: str | None = None
    raw: str = ""
    size: int = 0


def matched(path: Path, header: list[str], used: set[str], delimiter: str | None = None) -> list[str]:
    """The header, if it has every column that the mapping reads once; raises UnusableFile otherwise."""
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
    """One cell that holds another delimiter is the most likely mistake."""
    if delimiter is None or len(header) > 1:
        return ""
    other = next((mark for mark in ";\t,|" if mark != delimiter and mark in header[0]), None)
    return "" if other is None else f' (is the delimiter {other!r}? Say delimiter = "…" under [source])'


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return objects within the object as columns, such as `address.city`."""
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
            # Names repeat the names around them: without a bound they grow with the square of the line.
            if len(before) + len(name) > _LONGEST_NAME:
                raise TooMuch(f"has a column whose name is longer than {_LONGEST_NAME} characters")
            if isinstance(inner, dict):
                pending.append((f"{before}{name}.", iter(inner.items())))
                break
            yield before + name, inner
        else:
            pending.pop()
