"""A writer's intentions and the answers, in a file that outlives its process.

A line is written before and after each transaction. A transaction with a line before and none after may
or may not be committed; a device sends the same operations again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True)
class Told:
    """An acknowledged transaction: its changes by seq, and the time."""

    changes: dict[int, str]
    at: float


class Journal:
    """The file of one writer."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.lines: list[dict[str, Any]] = []
        if file.exists():
            # The last line may have been cut off.
            whole, _, _ = file.read_bytes().rpartition(b"\n")
            self.lines = [orjson.loads(line) for line in whole.splitlines()]
            file.write_bytes(whole + b"\n" if whole else b"")

    def _write(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        with self._file.open("ab") as file:
            file.write(orjson.dumps(line) + b"\n")

    def mean(self, number: int, push: list[dict[str, Any]] | None = None) -> None:
        self._write({"means": number, "push": push})

    def hear(self, number: int, changes: dict[int, str]) -> None:
        stood = {str(seq): id for seq, id in changes.items()}
        self._write({"heard": number, "changes": stood, "at": time.monotonic()})

    def give_up(self, number: int) -> None:
        """Note that a transaction's outcome stays unknown."""
        self._write({"lost": number})

    # -- reading ------------------------------------------------------------------------------------------

    @property
    def open(self) -> dict[str, Any] | None:
        """Return the last intention without an answer."""
        return self.lines[-1] if self.lines and "means" in self.lines[-1] else None

    @property
    def next(self) -> int:
        return 1 + max((line["means"] for line in self.lines if "means" in line), default=0)

    def told(self) -> list[Told]:
        return [
            Told({int(seq): id for seq, id in line["changes"].items()}, line["at"])
            for line in self.lines
            if "heard" in line and line["changes"]
        ]

    def pushed(self) -> dict[str, str]:
        """Return the id of the record that each pushed operation creates."""
        operations = [op for line in self.lines for op in line.get("push") or ()]
        return {operation["id"]: operation["input"]["id"] for operation in operations}

    def lost(self) -> int:
        return sum("lost" in line for line in self.lines)
