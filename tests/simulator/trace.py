"""The trace of a run, line by line; the same seed gives the same lines."""

from __future__ import annotations

import hashlib


class Trace:
    """Keeps the last lines and a hash of all of them."""

    def __init__(self, echo: bool = False) -> None:
        self.lines: list[str] = []
        self._hash = hashlib.sha256()
        self._echo = echo

    def add(self, line: str) -> None:
        self.lines.append(line)
        self._hash.update(line.encode())
        if self._echo:
            print(line)

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()[:16]
