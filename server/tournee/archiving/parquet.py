"""The files: Parquet, one row for each entry of the log, with the columns of the table `change`."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tournee.kernel.head import Mark
from tournee.kernel.log import Change

# The order of the columns, in the log and in the file.
_NAMES = tuple(column.name for column in Change.__table__.c)
COLUMNS: tuple[Any, ...] = tuple(getattr(Change, name) for name in _NAMES)
_SEQ = _NAMES.index("seq")
_TEXTS = {"organisation_id", "id", "actor_id", "device_id", "operation_id"}
_TIMES = {"occurred_at", "recorded_at"}

MISSING = (
    "The archive needs pyarrow. Install it with `pip install 'tournee[archive]'`, or in a checkout with"
    " `.venv/bin/pip install --require-hashes -r requirements-archive.txt`."
)


class ArchiveFailed(Exception):
    """The archive cannot be written or was found wrong; the message is for the operator."""


@dataclass
class Content:
    """What a file holds: how many entries, the numbers of the first and the last, and a digest of all."""

    count: int = 0
    first: int = 0
    last: int = 0
    _hash: Any = field(default_factory=hashlib.sha256, repr=False)

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self.count += 1
            self.last = row[_SEQ]
            self.first = self.first or self.last
            self._hash.update(orjson.dumps(row))
            self._hash.update(b"\n")

    @property
    def digest(self) -> str:
        return str(self._hash.hexdigest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Content) and self.facts == other.facts

    __hash__ = None  # type: ignore[assignment] # it changes as rows are added

    @property
    def facts(self) -> tuple[int, int, int, str]:
        return self.count, self.first, self.last, self.digest


def require() -> Any:
    """Return pyarrow; raises ArchiveFailed if it is not installed."""
    try:
        import pyarrow.parquet  # noqa: PLC0415 - large, and only this command needs it
    except ImportError:
        raise ArchiveFailed(MISSING) from None
    return pyarrow


async def write(path: Path, portions: AsyncIterator[Sequence[Any]]) -> Content:
    """Write the entries to the file, a group of rows for each portion."""
    pyarrow = require()
    schema, content = _schema(pyarrow), Content()
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        async for portion in portions:
            rows = [tuple(map(_plain, _NAMES, row)) for row in portion]
            content.add(rows)
            columns = zip(*rows, strict=True)
            arrays = [pyarrow.array(values, one.type) for values, one in zip(columns, schema, strict=True)]
            writer.write_table(pyarrow.table(arrays, schema=schema))
    return content


def read(path: Path) -> Content:
    """Read the whole file again; raises ArchiveFailed if it is damaged."""
    pyarrow, content = require(), Content()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                columns = [
                    batch.column(name).cast(pyarrow.int64()).to_pylist()
                    if name in _TIMES
                    else batch.column(name).to_pylist()
                    for name in _NAMES
                ]
                content.add(zip(*columns, strict=True))
    except (pyarrow.ArrowException, OSError, KeyError) as problem:
        raise ArchiveFailed(f"{path} is damaged: {problem}") from None
    return content


def _schema(pyarrow: Any) -> Any:
    def kind(name: str) -> Any:
        if name == "seq":
            return pyarrow.int64()
        return pyarrow.timestamp("us", tz="UTC") if name in _TIMES else pyarrow.string()

    return pyarrow.schema([pyarrow.field(name, kind(name)) for name in _NAMES])


def _plain(name: str, value: Any) -> Any:
    """Return ids as text, and times as microseconds since 1970."""
    if value is None:
        return None
    if name in _TEXTS:
        return str(value)
    return Mark.of(0, value).recorded if name in _TIMES else value
