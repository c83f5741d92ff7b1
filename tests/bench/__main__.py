"""`make bench`: print one line per figure, `name value unit`. ONLY=… selects by the start of the name."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from tests.bench.bootstrap import bootstrap
from tests.bench.figures import Figure
from tests.bench.growth import pull_growth
from tests.bench.head import head
from tests.bench.herd import herd
from tests.bench.hostile import hostile
from tests.bench.idle import idle
from tests.bench.importing import import_rate
from tests.bench.push import push_rates
from tests.bench.reading.measuring import SIZES, reads
from tests.bench.searching import searching
from tests.bench.streams import streams
from tests.bench.years.keeping import bytes_per_visit
from tests.bench.years.measuring import years
from tests.bench.years.reassigning import reassign
from tests.support.ending import end_tidily

# The figures of each benchmark, so that ONLY can choose without running.
BENCHMARKS: dict[tuple[str, ...], Callable[[], Awaitable[list[Figure]]]] = {
    ("pull_idle_growth_ratio", "pull_delta_growth_ratio"): pull_growth,
    ("import_rows_per_s",): import_rate,
    ("bootstrap_vs_rxdb_ratio",): bootstrap,
    ("pull_idle_vs_noop_ratio",): idle,
    ("stream_1000_p99_ms", "stream_memory_kb_each"): streams,
    ("hostile_document_worst_ms", "hostile_healthz_worst_ms", "hostile_answered_worst_ms"): hostile,
    ("herd_10000_other", "herd_10000_told_to_wait"): herd,
    ("push_vs_raw_ratio", "push_vs_pouchdb_ratio", "push_operations_per_s"): push_rates,
    ("head_held_ms", "head_one_organisation_per_s", "head_eight_organisations_per_s"): head,
    ("search_million_p95_ms", "sqlite_search_million_p95_ms"): searching,
    # Also with ONLY=reads.
    (
        "reads",
        *(f"read{first}_vs_handwritten_ratio" for first in SIZES),
        "nested_vs_postgraphile_ratio",
        "board_vs_executor_ratio",
        "sqlite_read20_vs_handwritten_ratio",
    ): reads,
    ("years_fill_s",): years,
    # Also with ONLY=years.
    ("bytes_per_visit", "years_bytes_change"): bytes_per_visit,
    ("reassign_per_s", "reassign_bystander_ratio", "reassign_10x_ratio"): reassign,
}


async def main(only: str) -> int:
    ran = 0
    for names, benchmark in BENCHMARKS.items():
        if any(name.startswith(only) for name in names):
            ran += 1
            for figure in await benchmark():
                print(figure.line(), flush=True)
    if not ran:
        print(f"No figure is called {only!r}.", file=sys.stderr)
    return 0 if ran else 2


if __name__ == "__main__":
    end_tidily()
    sys.exit(asyncio.run(main(os.environ.get("ONLY", ""))))
