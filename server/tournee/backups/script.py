"""The SQL that pg_restore makes of an archive, read as a stream: statements, and rows to be copied."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from tournee.backups.archive import BackupFailed

_COPY = re.compile(rb'COPY (?:"?[^" ]+"?\.)?"?([^" ]+)"? \(.*\) FROM stdin;\n')
_END = b"\\.\n"

# Commands of psql, and a setting that servers before PostgreSQL 17 do not know.
_LEFT_OUT = re.compile(rb"(\\(un)?restrict \w+|SET transaction_timeout = 0;)\n")


@dataclass(frozen=True)
class Copy:
    """Rows of a table, as PostgreSQL's COPY reads them."""

    table: str
    statement: bytes
    rows: Iterator[bytes]


def parts(script: IO[bytes]) -> Iterator[bytes | Copy]:
    """Yield statements and copies in their order; the rows of each must be read before the next."""
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
    raise BackupFailed("The archive ends in the midst of a table.")


def count(script: IO[bytes]) -> dict[str, int]:
    """Return how many rows there are for each table."""
    return {part.table: sum(1 for _ in part.rows) for part in parts(script) if isinstance(part, Copy)}
