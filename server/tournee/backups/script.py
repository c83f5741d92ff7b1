"""Reads the SQL that pg_restore prints, as a stream of statements and of rows to copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from tournee.backups.archive import BackupFailed

_COPY = re.compile(rb'COPY (?:"?[^" ]+"?\.)?"?([^" ]+)"? \(.*\) FROM stdin;\n')
_END = b"\\.\n"

# Left out: commands of psql, and a setting that servers before PostgreSQL 17 do not know.
_LEFT_OUT = re.compile(rb"(\\(un)?restrict \w+|SET transaction_timeout = 0;)\n")


@dataclass(frozen=True)
class Copy:
    """Rows of a table, as PostgreSQL's COPY reads them."""

    table: str
    statement: bytes
    rows: Iterator[bytes]


def parts(script: IO[bytes]) -> Iterator[bytes | Copy]:
    """Yield statements and copies in their order; read all rows of a copy before taking the next part."""
    statements: list[bytes] = []
    for line in script:
        copy = _COPY.fullmatch(line)
        if copy is not None:
            yield b"".join(statements)
            statements = []
            yield Copy(copy[1].decode(), line, _rows(script))
        elif not _LEFT_OUT.fullmatch(line):
            statements.append(line)
    yield b"".join(statements)


def _rows(script: IO[bytes]) -> Iterator[bytes]:
    for line in script:
        if line == _END:
            return
        yield line
    raise BackupFailed("The archive ends in the middle of a table.")


def count(script: IO[bytes]) -> dict[str, int]:
    """Return the number of rows of each table."""
    return {part.table: sum(1 for _ in part.rows) for part in parts(script) if isinstance(part, Copy)}
