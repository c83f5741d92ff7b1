"""The formats of a copy. Each stores entries and the copy's new end together or not at all."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tournee.kernel.head import Mark
from tournee.tailing.entries import Batch
from tournee.tailing.formats.files import Lines, Parquet
from tournee.tailing.formats.sqlite import Table


class Format(StrEnum):
    """How the copy is written."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    SQLITE = "sqlite"


class Store(Protocol):
    """The entries in a folder."""

    def end(self) -> Mark | None:
        """Return the mark of the last entry; None if there is none yet."""

    async def add(self, batch: Batch) -> str:
        """Add the entries for good, and return where they are."""

    def close(self) -> None: ...


FORMATS: dict[Format, Callable[[Path], Store]] = {
    Format.JSONL: Lines,
    Format.PARQUET: Parquet,
    Format.SQLITE: Table,
}
