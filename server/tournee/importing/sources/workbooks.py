"""Reads one sheet of an Excel workbook. It is read as a whole, so its size is checked first."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import python_calamine

from tournee.importing.mapping.columns import Source
from tournee.importing.sources.formula_errors import (
    MOST_ERRORS,
    Extent,
    FormulaError,
    FormulaErrors,
    part_of_sheet,
)
from tournee.importing.sources.lines import Line, UnusableFile, matched

# A sheet takes memory for its whole rectangle, however few cells are filled.
MOST_CELLS = 4_000_000
MOST_UNPACKED = 200_000_000
_CHUNK = 256_000


def workbook_rows(path: Path, source: Source, used: set[str]) -> Iterator[Line]:
    """Return the rows of the sheet; raises UnusableFile if it is damaged, too large or does not fit."""
    errors = _bounded(path)
    try:
        with python_calamine.CalamineWorkbook.from_path(str(path)) as workbook:
            sheet = _sheet(path, workbook, source.sheet)
            # The library counts from the first row, even if that is empty.
            rows: Iterator[tuple[int, list[Any]]] = enumerate(sheet.iter_rows(), 1)
            own = _errors_of(path, errors, sheet.name)
            if own and sheet.start is not None:
                rows = _with_errors(rows, own, sheet.start[1] + 1)
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


def _errors_of(path: Path, errors: dict[str, FormulaErrors], sheet: str) -> FormulaErrors:
    if not any(errors.values()):
        return {}
    with zipfile.ZipFile(path) as archive:
        part = part_of_sheet(archive, sheet)
    if part is None and len(errors) == 1:
        (part,) = errors
    if part not in errors:
        raise UnusableFile(
            f"{path}: formulas of the workbook failed, but not even their sheet can be found, so {sheet!r}"
            " cannot be trusted; save the sheet as CSV"
        )
    return errors[part]


def _with_errors(
    rows: Iterator[tuple[int, list[Any]]], errors: FormulaErrors, first_column: int
) -> Iterator[tuple[int, list[Any]]]:
    """Yield the rows with the content of cells whose formula failed."""
    by_row: dict[int, dict[int, str]] = {}
    for (number, column), said in errors.items():
        by_row.setdefault(number, {})[column - first_column] = said
    for number, row in rows:
        for place, said in by_row.get(number, {}).items():
            row[place] = FormulaError(said)
        yield number, row


def _name(cell: Any) -> str:
    return str(_cell(cell)).strip()


def _cell(cell: Any) -> Any:
    """Return the cell; a workbook's numbers are all floats, so whole ones become integers."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    if isinstance(cell, datetime | date | str):
        return cell
    if isinstance(cell, time | timedelta):
        return str(cell)
    return cell


def _bounded(path: Path) -> dict[str, FormulaErrors]:
    """Unpack the workbook once to check its size; return the failed formulas of each sheet's entry."""
    errors: dict[str, FormulaErrors] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = 0
            for entry in archive.infolist():
                extent = Extent() if entry.filename.startswith("xl/worksheets/") else None
                unpacked = _count(path, archive, entry, unpacked, extent)
                if extent is not None and entry.filename.endswith(".xml"):
                    errors[entry.filename] = extent.errors
    except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UnusableFile(f"{path}: the workbook is damaged or locked by a password: {error}") from None
    return errors


def _count(
    path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, unpacked: int, extent: Extent | None
) -> int:
    with archive.open(entry) as file:
        while piece := file.read(_CHUNK):
            unpacked += len(piece)
            if unpacked > MOST_UNPACKED:
                raise UnusableFile(f"{path}: the workbook unpacks to more than 200 MB; save the sheet as CSV")
            if extent is not None:
                extent.look_at(piece)
                _require_small(path, entry.filename, extent)
    return unpacked


def _require_small(path: Path, part: str, extent: Extent) -> None:
    if extent.rows * extent.columns > MOST_CELLS:
        raise UnusableFile(
            f"{path}: the sheet {part} reaches to row {extent.rows:,} and column {extent.columns:,}; remove"
            " cells far outside of the table, or save the sheet as CSV"
        )
    if len(extent.errors) > MOST_ERRORS:
        raise UnusableFile(
            f"{path}: more than {MOST_ERRORS:,} formulas of the sheet {part} failed; repair them first"
        )
