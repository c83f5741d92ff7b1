"""`make simulate SEEDS=200`, `SEEDS=100-199` or `SEED=17`; DATABASE=sqlite or postgresql.

Exits with 1 if a promise was broken, and prints the seed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

from tests.simulator.running import Total, complain, play, processes, spread
from tests.support.ending import end_tidily


def seeds_of(text: str) -> Sequence[int]:
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1) if last else range(int(first))


async def one(kind: str, seed: int) -> Total:
    total = Total()
    async for report in play(kind, [seed], echo=True):
        total.add(report)
        print(f"trace {report.hash}")
        if report.violation is not None:
            print(report.violation)
    return total


def many(kind: str, seeds: Sequence[int]) -> Total:
    total = Total()
    for report in spread(kind, seeds, processes(len(seeds))):
        total.add(report)
        if report.violation is not None:
            complain(report)
        if total.seeds % 100 == 0:
            print(f"{total.seeds} seeds, {len(total.violations)} violations", flush=True)
    return total


def main() -> int:
    kind = os.environ.get("DATABASE") or "sqlite"
    started = time.monotonic()
    if os.environ.get("SEED"):
        total = asyncio.run(one(kind, int(os.environ["SEED"])))
    else:
        total = many(kind, seeds_of(os.environ.get("SEEDS") or "50"))
    minutes = (time.monotonic() - started) / 60
    figures = {**total.counts, "faults": sum(total.faults.values())}
    told = ", ".join(f"{count} {name}" for name, count in sorted(figures.items()))
    print(f"{kind}: {total.seeds} seeds, {told}, {minutes:.1f} minutes, {len(total.violations)} violations")
    print("faults:", ", ".join(f"{count} {name}" for name, count in sorted(total.faults.items())))
    return 1 if total.violations else 0


if __name__ == "__main__":
    end_tidily()
    sys.exit(main())
