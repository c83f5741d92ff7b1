"""Copies of the log that `tournee tail` made, read as other programs read them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pyarrow.parquet

from tournee.kernel.log import dump
from tournee.tailing.entries import COLUMNS, NAMES
from tournee.tailing.formats import Format


def copied(folder: Path, kind: Format) -> list[dict[str, Any]]:
    """Return the entries of a copy, in the form of `logged`."""
    return [{one.name: _value(one.kind, row[one.name]) for one in COLUMNS} for row in _rows(folder, kind)]


def _rows(folder: Path, kind: Format) -> Iterator[dict[str, Any]]:
    if kind is Format.SQLITE:
        with closing(sqlite3.connect(folder / "changes.db")) as database:
            there = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            rows = database.execute("SELECT * FROM change ORDER BY seq").fetchall() if there else []
        yield from (dict(zip(NAMES, row, strict=True)) for row in rows)
    for file in sorted(folder.glob("changes-*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            row = orjson.loads(line)
            yield {**row, **{one.name: _text(row[one.name]) for one in COLUMNS if one.kind == "json"}}
    for file in sorted(folder.glob("changes-*.parquet")):
        yield from pyarrow.parquet.read_table(file).to_pylist()


def _text(value: Any) -> str | None:
    return None if value is None else dump(value)


def _value(kind: str, value: Any) -> Any:
    if kind == "id":
        return value and UUID(value)
    return datetime.fromisoformat(value) if kind == "time" and isinstance(value, str) else value
