"""The output of an import: the report of bad lines, the progress, and the table at the end."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from tournee.importing.planning.plan import Plan
from tournee.importing.planning.values import LOST, SKIPPED, Problem
from tournee.importing.writing.writer import Written

_SHOWN = 200
_KINDS = 1_000
_EVERY_SECONDS = 2.0


@dataclass
class Tally:
    """The figures of one import."""

    lines: int = 0
    skipped: int = 0
    bad_lines: int = 0
    lost: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def add(self, plans: Iterable[Plan], written: Written) -> None:
        for plan in plans:
            self.lines += plan.lines
            self.skipped += plan.lines if plan.skipped else 0
        self.counts.update(written.counts)
        self.seconds = time.monotonic() - self.began

    def add_reason(self, problem: Problem) -> None:
        """Count the remark under its reason; after `_KINDS` reasons, further ones are counted together."""
        self.lost += problem.done in LOST
        # Leave out values and numbers, which differ from line to line.
        kind = problem.column, re.sub(r"'.*'|\d+", "…", problem.reason), problem.done
        if kind not in self.reasons and len(self.reasons) >= _KINDS:
            kind = "", "other remarks", problem.done
        self.reasons[kind] += 1

    @property
    def recorded(self) -> bool:
        """Return whether at least one record of the file is in the database now."""
        return any(count and outcome != "refused" for (_, outcome), count in self.counts.items())

    @property
    def changed(self) -> bool:
        return any(count and outcome in ("created", "updated") for (_, outcome), count in self.counts.items())

    @property
    def rate(self) -> float:
        return self.lines / self.seconds if self.seconds else 0.0


class Report:
    """The report file, in JSON lines: one for everything that was not imported unchanged."""

    def __init__(self, file: IO[bytes], tally: Tally) -> None:
        self.file = file
        self.tally = tally

    def add(self, problems: Iterable[Problem]) -> None:
        bad = -1
        for problem in sorted(problems, key=lambda problem: problem.line):
            line = {
                "line": problem.line,
                "record": problem.record,
                "key": _written(problem.key),
                "column": problem.column,
                "value": _written(problem.value),
                "reason": _written(problem.reason),
                "done": problem.done,
            }
            self.file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            self.tally.add_reason(problem)
            self.tally.bad_lines += problem.line != bad and problem.done != SKIPPED
            bad = problem.line
        self.file.flush()


def _written(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return shown.encode("utf-8", "backslashreplace").decode()


class Progress:
    """Prints a line on the terminal every few seconds."""

    def __init__(self, file: IO[str], size: int) -> None:
        self.file = file
        self.size = size
        self.last = time.monotonic()

    def show(self, tally: Tally, read_bytes: int) -> None:
        if time.monotonic() - self.last < _EVERY_SECONDS:
            return
        self.last = time.monotonic()
        share = f" ({100 * read_bytes / self.size:.0f} %)" if self.size else ""
        reported = sum(tally.reasons.values())
        self.file.write(
            f"{tally.lines:,} lines{share}, {tally.rate:,.0f} lines/s, {reported:,} remarks in the report\n"
        )
        self.file.flush()


def summary(tally: Tally, labels: Sequence[str]) -> str:
    """Return the table at the end."""
    outcomes = ("created", "updated", "unchanged", "refused")
    rows: list[tuple[Any, ...]] = [("record", *outcomes)]
    rows += [(label, *(f"{tally.counts[label, outcome]:,}" for outcome in outcomes)) for label in labels]
    widths = [max(len(str(row[place])) for row in rows) for place in range(len(rows[0]))]
    table = [
        "  ".join(
            [
                str(row[0]).ljust(widths[0]),
                *(str(c).rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    table.append(
        f"{tally.lines:,} lines read, {tally.skipped:,} skipped, {tally.bad_lines:,} with remarks;"
        f" {tally.seconds:,.1f} s, {tally.rate:,.0f} lines/s"
    )
    table += [
        f"{count:>10,}  {' '.join(part for part in (column, reason) if part)}: {done}"
        for (column, reason, done), count in tally.reasons.most_common(20)
    ]
    if len(tally.reasons) > 20:
        table.append(f"{'':>10}  … and {len(tally.reasons) - 20} other kinds of remark, in the report")
    return "\n".join(table)
