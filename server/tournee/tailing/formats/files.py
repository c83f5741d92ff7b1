"""Numbered files of entries. A file has its name once it is complete on the disk, and the name says where the
copy ends: `changes-FIRST-LAST-RECORDED`, with the time of the last entry in microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import orjson

from tournee.archiving import parquet
from tournee.backups.files import appear, aside
from tournee.kernel.head import Mark
from tournee.tailing.entries import COLUMNS, NAMES, Batch


class Files:
    """The files of one folder, in the order of their names."""

    suffix: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def close(self) -> None:
        """Do nothing: every file is closed already."""

    def end(self) -> Mark | None:
        newest = max((file.stem for file in self._folder.glob(f"changes-*.{self.suffix}")), default=None)
        if newest is None:
            return None
        _, _, last, recorded = newest.split("-")
        return Mark(int(last), int(recorded))

    async def add(self, batch: Batch) -> str:
        with aside(self._folder / "changes") as temporary:
            await self._write(temporary, batch)
            name = (
                f"changes-{batch.first:016d}-{batch.last.seq:016d}-{batch.last.recorded:016d}.{self.suffix}"
            )
            if batch.count:
                appear(temporary, self._folder / name)
        return name

    async def _write(self, file: Path, batch: Batch) -> None:
        raise NotImplementedError


class Lines(Files):
    """A line of JSON for each entry."""

    suffix = "jsonl"

    async def _write(self, file: Path, batch: Batch) -> None:
        with file.open("wb") as lines:
            async for portion in batch.portions():
                lines.writelines(map(line, portion))


class Parquet(Files):
    """The columns of `tournee archive`, so that one query reads both."""

    suffix = "parquet"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        parquet.require()

    async def _write(self, file: Path, batch: Batch) -> None:
        await parquet.write(file, batch.portions())


def line(entry: Sequence[Any]) -> bytes:
    values = (_embedded(column.kind, value) for column, value in zip(COLUMNS, entry, strict=True))
    return orjson.dumps(dict(zip(NAMES, values, strict=True)), option=orjson.OPT_APPEND_NEWLINE)


def _embedded(kind: str, value: Any) -> Any:
    return orjson.Fragment(value) if kind == "json" and value is not None else plain(value)


def plain(value: Any) -> Any:
    """Return ids as text, and times as text of one length, which sorts as they do."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID) else value
