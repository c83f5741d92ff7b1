"""10,000 devices that return within a minute: how many are served, how many get a time to retry.

Each uses its own connection, pushes, and then pulls: most from their cursor, some a new copy. A device
with a time to retry returns then, until it is served. Any other answer is an error, and so is retrying
in vain all the time.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from tests.bench.bootstrap import our_server
from tests.bench.figures import Figure
from tournee.auth.roles import Role

DEVICES, SECONDS = 10_000, 60.0
FROM_NOTHING = 0.1
TRIES = 30


@dataclass
class Herd:
    """The number of requests by result."""

    port: int
    errors: Counter[str] = field(default_factory=Counter)
    told: dict[str, Counter[str]] = field(default_factory=lambda: {"push": Counter(), "pull": Counter()})

    async def device(self, headers: Mapping[str, str], cursor: str, delay: float) -> None:
        await asyncio.sleep(delay)
        body = json.dumps({"device": str(uuid4()), "app": "bench/1", "schema": 1, "operations": []})
        await self._insist("push", "POST", "/sync/push", headers, body)
        await self._insist("pull", "GET", f"/sync/pull?cursor={cursor}", headers, "")

    async def _insist(self, kind: str, *request: object) -> None:
        for _ in range(TRIES):
            try:
                after = await self._ask(*request)  # type: ignore[arg-type]
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.told[kind]["other"] += 1
                self.errors[repr(error)[:200]] += 1
                return
            if after is None:
                self.told[kind]["served"] += 1
                return
            self.told[kind]["told"] += 1
            await asyncio.sleep(after)
        self.told[kind]["other"] += 1
        self.errors["never served"] += 1

    async def _ask(self, method: str, target: str, headers: Mapping[str, str], body: str) -> float | None:
        """Send a request; return the seconds until a retry, None if it was answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        named = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(
            f"{method} {target} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{named}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        answer = await reader.read()
        writer.close()
        head = answer.partition(b"\r\n\r\n")[0]
        status = head[9:12]
        if status == b"200":
            return None
        after = re.search(rb"(?i)retry-after: (\d+)", head)
        if status not in {b"503", b"429"} or after is None:
            raise ValueError(head)
        return float(after[1])


async def herd() -> list[Figure]:
    async with our_server(records=5_000) as (served, filled):
        actors = [filled.actor(Role.TECHNICIAN) for _ in range(DEVICES)]
        await filled.add_accounts(actors, scopes=10)
        chosen = random.Random(1)
        devices = [
            (filled.bearer(actor), "" if chosen.random() < FROM_NOTHING else cursor)
            for actor, cursor in zip(actors, await filled.cursors(actors), strict=True)
        ]
        gathered = Herd(served.port)
        started = time.monotonic()
        await asyncio.gather(
            *(gathered.device(*device, delay=chosen.random() * SECONDS) for device in devices)
        )
        seconds = time.monotonic() - started
    for error, count in gathered.errors.most_common(3):
        print(f"herd: {count} times {error}", file=sys.stderr)
    pushes, pulls = gathered.told["push"], gathered.told["pull"]
    return [
        Figure("herd_10000_pushes_served", pushes["served"], "requests"),
        Figure("herd_10000_pulls_served", pulls["served"], "requests"),
        Figure("herd_10000_told_to_wait", pushes["told"] + pulls["told"], "requests"),
        Figure("herd_10000_all_served_s", seconds, "s"),
        Figure("herd_10000_other", pushes["other"] + pulls["other"], "requests"),
    ]
