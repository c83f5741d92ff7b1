"""One sheet of an Excel workbook. It is read as a whole, so its size is looked at first."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import python_calamine

from tournee.importing.mapping.columns import Source
from tournee.importing.sources.lines import Line, UnusableFile, matched

# A sheet takes its whole rectangle in memory, however few of its cells are filled.
MOST_CELLS = 4_000_000
MOST_UNPACKED = 200_000_000
_CHUNK = 256_000
_CELL = re.compile(rb'<(?:\w+:)?c [^>]*?r="([A-Z]{1,3})([0-9]{1,7})"')
_SPLIT_AT = 200


def workbook_rows(path: Path, source: Source, used: set[str]) -> Iterator[Line]:
    """Raises UnusableFile where it is no workbook, too large, or the header is not the mapping's."""
    _require_bounded(path)
    try:
        with python_calamine.CalamineWorkbook.from_path(str(path)) as workbook:
            sheet = _sheet(path, workbook, source.sheet)
            # From the first row on, also where that is empty.
            rows = enumerate(sheet.iter_rows(), 1)
    except (python_calamine.CalamineError, zipfile.BadZipFile) as error:
        raise UnusableFile(f"{path}: the workbook cannot be read: {error}") from None
    first = source.header_line
    header = source.header
    if header is None:
        named: list[Any] = next(
            (row for number, row in rows if number >= first and any(cell != "" for cell in row)), []
        )
        header = [_name(cell) for cell in named]
        while header and not header[-1]:
            header.pop()
    return _lines(rows, matched(path, header, used))


def _sheet(path: Path, workbook: Any, name: str | None) -> Any:
    names = workbook.sheet_names
    if name is None and len(names) > 1:
        known = ", ".join(names)
        raise UnusableFile(
            f'{path}: the workbook has several sheets; say sheet = "…" under [source]: {known}'
        )
    if name is not None and name not in names:
        raise UnusableFile(f"{path}: there is no sheet {name!r}; there are: {', '.join(names)}")
    return workbook.get_sheet_by_name(name or names[0])


def _lines(rows: Iterator[tuple[int, list[Any]]], header: list[str]) -> Iterator[Line]:
    for number, row in rows:
        cells = {name: _cell(cell) for name, cell in zip(header, row, strict=False) if name}
        if any(cell != "" for cell in cells.values()):
            yield Line(number, cells, size=sum(len(cell) for cell in cells.values() if isinstance(cell, str)))


def _name(cell: Any) -> str:
    return str(_cell(cell)).strip()


def _cell(cell: Any) -> Any:
    """Numbers are all of one kind in a workbook; whole ones are written as such."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    if isinstance(cell, datetime | date | str):
        return cell
    if isinstance(cell, time | timedelta):
        return str(cell)
    return cell


def _require_bounded(path: Path) -> None:
    """Unpack it once, a piece at a time, and count."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = 0
            for entry in archive.infolist():
                is_sheet = entry.filename.startswith("xl/worksheets/")
                unpacked = _count(path, archive, entry, unpacked, is_sheet=is_sheet)
    except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UnusableFile(f"{path}: the workbook is damaged or locked by a password: {error}") from None


def _count(
    path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, unpacked: int, *, is_sheet: bool
) -> int:
    rows = columns = 0
    with archive.open(entry) as file:
        rest = b""
        while piece := file.read(_CHUNK):
            unpacked += len(piece)
            if unpacked > MOST_UNPACKED:
                raise UnusableFile(f"{path}: the workbook unpacks to more than 200 MB; save the sheet as CSV")
            if is_sheet:
                text = rest + piece
                for name, number in _CELL.findall(text):
                    rows, columns = max(rows, int(number)), max(columns, _column(name))
                rest = text[-_SPLIT_AT:]
    if rows * columns > MOST_CELLS:
        raise UnusableFile(
            f"{path}: the sheet {entry.filename} reaches to row {rows:,} and column {columns:,}; remove"
            " what stands far outside of the table, or save the sheet as CSV"
        )
    return unpacked


def _column(name: bytes) -> int:
    number = 0
    for letter in name:
        number = 26 * number + letter - 64
    return number
