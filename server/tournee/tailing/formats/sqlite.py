"""An SQLite database with one table of entries. A batch is one transaction, and the last row is the end."""

from __future__ import annotations

import os
import sqlite3
from datetime import datetime
from pathlib import Path

from tournee.kernel.head import Mark
from tournee.tailing.entries import COLUMNS, Batch
from tournee.tailing.formats.files import plain

FILE = "changes.db"


class Table:
    """The table `change` in `changes.db`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        # Only its owner can read it, as with the files of other formats.
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
        self._connection = sqlite3.connect(self._file, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_TABLE)

    def close(self) -> None:
        self._connection.close()

    def end(self) -> Mark | None:
        last = "SELECT seq, recorded_at FROM change ORDER BY seq DESC LIMIT 1"
        row = self._connection.execute(last).fetchone()
        return None if row is None else Mark.of(row[0], datetime.fromisoformat(row[1]))

    async def add(self, batch: Batch) -> str:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            async for portion in batch.portions():
                self._connection.executemany(_INSERT, [tuple(map(plain, entry)) for entry in portion])
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        return FILE


def _columns() -> str:
    kinds = {"integer": "INTEGER"}
    return ", ".join(
        f'"{one.name}" {kinds.get(one.kind, "TEXT")}{"" if one.nullable else " NOT NULL"}' for one in COLUMNS
    )


_TABLE = f"""
CREATE TABLE IF NOT EXISTS change ({_columns()}, PRIMARY KEY (seq));
CREATE INDEX IF NOT EXISTS ix_change_record ON change (id, seq);
CREATE INDEX IF NOT EXISTS ix_change_entity ON change (entity, seq);
"""
_INSERT = f"INSERT INTO change VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - no text of others
