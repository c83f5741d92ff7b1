"""The time from commit to arrival on 1,000 live streams, and the server's memory per stream.

A thousand technicians listen from another process. The commits are in the catalogue, so each goes to all
of them, the worst case. The clock starts when the commit has returned.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.bootstrap import our_server
from tests.bench.figures import Figure
from tests.bench.organisation import BenchOrganisation
from tests.bench.serving import ROOT, Served
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS, MEMBERSHIPS
from tournee.kernel.command import Kernel

STREAMS, TICKS, PAUSE = 1_000, 20, 1.0


async def streams() -> list[Figure]:
    async with our_server(records=5_000) as (served, filled):
        actors = [filled.actor(Role.TECHNICIAN) for _ in range(STREAMS)]
        await filled.add_accounts(actors, scopes=10)
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "listeners"
            cursors = await filled.cursors(actors)
            lines = [
                f"{filled.bearer(actor)['Authorization']},{cursor}"
                for actor, cursor in zip(actors, cursors, strict=True)
            ]
            file.write_text("\n".join(lines), "utf-8")
            return await _measure(served, filled, file)


async def _measure(served: Served, filled: BenchOrganisation, file: Path) -> list[Figure]:
    before = served.memory_kb()
    listening = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.listening", str(served.port), str(file),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, limit=2**26,
    )  # fmt: skip
    assert listening.stdout is not None
    assert (await listening.stdout.readline()).strip() == b"ready"
    await asyncio.sleep(1)
    each = (served.memory_kb() - before) / STREAMS
    committed = await _commit(filled)
    await asyncio.sleep(3)
    told, _ = await listening.communicate(b"")
    delays = sorted(at - committed[tick] for tick, at in json.loads(told))
    if len(delays) != STREAMS * TICKS:
        raise RuntimeError(f"{len(delays)} of {STREAMS * TICKS} arrived")
    return [
        Figure("stream_1000_p50_ms", statistics.median(delays) * 1000, "ms"),
        Figure("stream_1000_p99_ms", delays[int(len(delays) * 0.99)] * 1000, "ms"),
        Figure("stream_memory_kb_each", each, "KB"),
    ]


async def _commit(filled: BenchOrganisation) -> dict[int, float]:
    kernel, create = Kernel(filled.database, MEMBERSHIPS), COMMANDS["createSkill"]
    manager = filled.actor(Role.MANAGER)
    committed = {}
    for tick in range(TICKS):
        await kernel.perform(manager, create, create.parse({"name": f"tick-{tick}"}))
        committed[tick] = time.monotonic()
        await asyncio.sleep(PAUSE)
    return committed
