"""Running seeds: one after another in this process, or spread over several."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from unittest.mock import patch

import structlog

from tests.simulator.clock import simulated_time
from tests.simulator.crashes import trapped
from tests.simulator.simulation import Report, simulate
from tests.simulator.stage import Stage, postgresql_url, sqlite_url, staged
from tests.support.ending import end_tidily
from tests.support.inline import without_threads
from tournee.sync.devices import acknowledged

# A server stores device positions by the wall clock; a trap must not be sprung by that.
_NEVER = 10**6

# A database grows with every seed run on it.
SEEDS_A_STAGE = 150


@asynccontextmanager
async def theatre(url: str) -> AsyncIterator[Stage]:
    """Yield the stage with everything simulated."""
    # Bugs are part of the simulation, so the server's log of them is suppressed.
    configured = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    inline = without_threads() if url.startswith("sqlite") else nullcontext()
    try:
        with simulated_time(), trapped(), inline, patch.object(acknowledged, "_EVERY_SECONDS", _NEVER):
            async with staged(url) as stage:
                yield stage
    finally:
        structlog.configure(**configured)


@contextmanager
def database(kind: str) -> Iterator[str]:
    with sqlite_url() if kind == "sqlite" else postgresql_url() as url:
        yield url


@dataclass
class Total:
    """The totals of many seeds."""

    seeds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[Report] = field(default_factory=list)

    def add(self, report: Report) -> None:
        self.seeds += 1
        self.counts += report.counts
        self.faults += report.faults
        if report.violation is not None:
            self.violations.append(report)


async def play(kind: str, seeds: Sequence[int], echo: bool = False) -> AsyncIterator[Report]:
    for first in range(0, len(seeds), SEEDS_A_STAGE):
        with database(kind) as url:
            async with theatre(url) as stage:
                for seed in seeds[first : first + SEEDS_A_STAGE]:
                    yield await simulate(stage, seed, echo)


def _play_all(kind: str, seeds: Sequence[int], found: multiprocessing.Queue[Report | str | None]) -> None:
    async def main() -> None:
        async for report in play(kind, seeds):
            report.lines = report.lines[-40:] if report.violation else []
            found.put(report)

    end_tidily()
    try:
        asyncio.run(main())
    except BaseException:  # noqa: BLE001 - the parent process reports it
        found.put(traceback.format_exc())
    found.put(None)


def spread(kind: str, seeds: Sequence[int], processes: int) -> Iterable[Report]:
    """Yield the reports of seeds run by this many processes, as they finish."""
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[Report | str | None] = context.Queue()
    workers = [
        context.Process(target=_play_all, args=(kind, seeds[n::processes], found), daemon=True)
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    left = len(workers)
    while left:
        report = found.get()
        if report is None:
            left -= 1
        elif isinstance(report, str):
            raise RuntimeError(report)
        else:
            yield report
    for worker in workers:
        worker.join()


def processes(seeds: int) -> int:
    return max(1, min(os.cpu_count() or 1, seeds // 4, int(os.environ.get("PROCESSES", "2"))))


def complain(report: Report) -> None:
    """Print a violation, the steps before it, and the command that reproduces it."""
    print(f"\nSEED {report.seed} breaks a promise:", *report.lines[-40:], sep="\n  ", file=sys.stderr)
    print(f"  {report.violation}\n  To reproduce: make simulate SEED={report.seed}", file=sys.stderr)
