"""Groups lines that belong together, and finds keys that appear in several places of the file.

A record that several lines describe, such as an audit with its findings, is imported whole or not at all: a
part of it would look complete. Lines are read one at a time, so a group ends where another key begins.
Whether its key appears again is known only at the end of the file. So the file is read twice, and the notes
in between are kept on disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from tournee.importing.sources.lines import MOST_ENTRIES, Line

KeyOf = Callable[[Line], str | None]
_CACHE_KILOBYTES = 8_000


class Group(list[Line]):
    """Neighbouring lines with one key. `lines` also counts lines that are `too_many` to keep."""

    def __init__(self, *lines: Line) -> None:
        super().__init__(lines)
        self.lines = len(lines)

    @property
    def too_many(self) -> bool:
        return self.lines > len(self)

    def add(self, line: Line) -> None:
        self.lines += 1
        if len(self) < MOST_ENTRIES:
            self.append(line)


def alone(lines: Iterable[Line]) -> Iterator[Group]:
    """Yield each line by itself."""
    return (Group(line) for line in lines)


def neighbours(lines: Iterable[Line], key_of: KeyOf) -> Iterator[Group]:
    """Yield groups of neighbouring lines with one key. A line that cannot be read may belong to the lines
    before or after it, so it joins them into one group. A line without a key is a group of its own.
    """
    group: Group | None = None
    last, broken = None, False
    for line in lines:
        key = None if line.problem else key_of(line)
        beside = group is not None and (line.problem or broken)
        if group is not None and not beside and (key is None or key != last):
            yield group
            group = None
        if group is None:
            group = Group(line)
        else:
            group.add(line)
        last, broken = key, line.problem is not None
    if group is not None:
        yield group


class Places:
    """Notes, in a temporary file, at which lines each key appears and whether its content differs."""

    def __init__(self) -> None:
        # The empty name makes SQLite use a temporary file, which it deletes on closing.
        self.file = sqlite3.connect("", check_same_thread=False)
        self.file.execute(f"PRAGMA cache_size = -{_CACHE_KILOBYTES}")
        self.file.execute("PRAGMA synchronous = OFF")
        self.file.execute(
            "CREATE TABLE place (key BLOB PRIMARY KEY, content BLOB, line INTEGER, again INTEGER)"
            " WITHOUT ROWID"
        )

    def close(self) -> None:
        self.file.close()

    def note(self, kind: str, key: str, line: int, content: bytes) -> None:
        """Note that the key appears at this line. Repeating the same content does not count."""
        self.file.execute(
            "INSERT INTO place VALUES (?, ?, ?, NULL) ON CONFLICT (key) DO UPDATE SET again = excluded.line"
            " WHERE again IS NULL AND content <> excluded.content",
            (_digest(f"{kind}\n{key}".encode("utf-8", "surrogateescape")), _digest(content), line),
        )

    def where(self, kind: str, key: str) -> tuple[int, int] | None:
        """Return the lines of the first two contents of a key; None if the key has only one content."""
        digest = _digest(f"{kind}\n{key}".encode("utf-8", "surrogateescape"))
        found = self.file.execute("SELECT line, again FROM place WHERE key = ?", (digest,)).fetchone()
        return None if found is None or found[1] is None else (found[0], found[1])


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()
