"""The SQLite file on the device: tables, transactions, and single values such as the cursor."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike

_VERSION = 3

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row (
    entity TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (entity, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fresh (
    entity TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (entity, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, unit TEXT, command TEXT NOT NULL,
    input TEXT NOT NULL, base INTEGER NOT NULL, occurred_at TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending', tries INTEGER NOT NULL DEFAULT 0,
    schema INTEGER NOT NULL DEFAULT 2, mark TEXT);
CREATE TABLE IF NOT EXISTS gone (
    id TEXT PRIMARY KEY, base INTEGER NOT NULL, mark TEXT);
CREATE TABLE IF NOT EXISTS effect (
    number INTEGER NOT NULL, position INTEGER NOT NULL, operation TEXT NOT NULL, entity TEXT NOT NULL,
    id TEXT NOT NULL, patch TEXT, creates INTEGER NOT NULL, settled INTEGER,
    PRIMARY KEY (number, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS effect_row ON effect (entity, id);
CREATE INDEX IF NOT EXISTS effect_operation ON effect (operation);
CREATE TABLE IF NOT EXISTS outcome (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL, unit TEXT, command TEXT NOT NULL, input TEXT NOT NULL,
    base INTEGER NOT NULL, occurred_at TEXT NOT NULL, tries INTEGER NOT NULL,
    status TEXT NOT NULL, seq INTEGER, code TEXT, message TEXT, fields TEXT NOT NULL, conflict TEXT,
    schema INTEGER NOT NULL DEFAULT 2, mark TEXT);
"""
# Columns that stores of versions 1 and 2 may lack. A version 1 store has only schema 2, hence the default.
_LATER = {"schema": "INTEGER NOT NULL DEFAULT 2", "mark": "TEXT"}
_WITH_LATER = ("outbox", "outcome")
_ALL = ("meta", "row", "fresh", "gone", "outbox", "effect", "outcome")


class Database:
    """One SQLite file, used by one process."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self.execute = self._connection.execute
        self.executemany = self._connection.executemany
        self.execute("PRAGMA journal_mode = WAL")
        # A technician's signature must survive a flat battery, and a wiped device must not be readable.
        self.execute("PRAGMA synchronous = FULL")
        self.execute("PRAGMA secure_delete = ON")
        self._create()

    def _create(self) -> None:
        with self.transaction():
            (version,) = self.execute("PRAGMA user_version").fetchone()
            if version > _VERSION:
                raise RuntimeError("the store was written by a newer version of this package")
            for statement in _TABLES.split(";"):
                self.execute(statement)
            for table in _WITH_LATER:
                columns = {row[1] for row in self.execute(f"PRAGMA table_info({table})")}
                for name in _LATER.keys() - columns:
                    self.execute(f"ALTER TABLE {table} ADD COLUMN {name} {_LATER[name]}")
            self.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in one transaction; an inner transaction joins the outer one."""
        if self._connection.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def get(self, key: str) -> str | None:
        """Return the value stored under this key, None when there is none."""
        found = self.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def put(self, key: str, value: str | None) -> None:
        """Store a value under this key; None deletes it."""
        if value is None:
            self.execute("DELETE FROM meta WHERE key = ?", (key,))
        else:
            self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def number(self, key: str) -> int:
        """Return the value under this key as a number, 0 when there is none."""
        return int(self.get(key) or 0)

    def erase(self, keep: Mapping[str, str] | None = None) -> None:
        """Erase everything but the values to keep; leave nothing else readable on the disk."""
        with self.transaction():
            for table in _ALL:
                self.execute(f"DELETE FROM {table}")  # noqa: S608 - the names are ours
            for key, value in (keep or {}).items():
                self.put(key, value)
        self.scrub()

    def scrub(self) -> None:
        """Rewrite the file and empty its write-ahead log; safe to repeat, as after a crash."""
        self.execute("VACUUM")
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
