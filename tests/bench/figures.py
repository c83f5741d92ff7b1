"""How figures are measured: the contenders run in turn, and the median of the rounds' ratios counts."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Figure:
    """One line of the output."""

    name: str
    value: float
    unit: str

    def line(self) -> str:
        # Not a number: the peer was not available.
        value = "missing" if math.isnan(self.value) else f"{self.value:.3f}"
        return f"{self.name} {value} {self.unit}"


async def seconds_each(work: Work, times: int) -> float:
    """Return the mean seconds per call over this many calls in a row."""
    started = time.perf_counter()
    for _ in range(times):
        await work()
    return (time.perf_counter() - started) / times


async def compare(name: str, small: Work, large: Work, *, times: int = 20, rounds: int = 15) -> list[Figure]:
    """Return `large` ÷ `small` in interleaved rounds, after one that is not counted."""
    pairs = []
    for turn in range(rounds + 1):
        pair = (await seconds_each(small, times), await seconds_each(large, times))
        if turn:
            pairs.append(pair)
    return [
        Figure(f"{name}_small_ms", statistics.median(a for a, _ in pairs) * 1000, "ms"),
        Figure(f"{name}_large_ms", statistics.median(b for _, b in pairs) * 1000, "ms"),
        Figure(f"{name}_ratio", statistics.median(b / a for a, b in pairs), "large/small"),
    ]
