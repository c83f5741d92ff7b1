"""A load generator: wrk, from the path or from Debian's package, else a small client of our own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 32
_PACKAGES = ("wrk", "libluajit-5.1-2", "libluajit-5.1-common")


@dataclass(frozen=True)
class Load:
    """Repeats one request on this many open connections."""

    wrk: str | None
    environment: Mapping[str, str]
    connections: int = CONNECTIONS

    async def rate(
        self, url: str, headers: Mapping[str, str], seconds: float, body: bytes | None = None
    ) -> float:
        """Return the requests per second answered with 200; any other answer fails the benchmark. A body is
        posted.
        """
        if self.wrk is None:
            return await _own_rate(url, headers, seconds, self.connections, body)
        asked = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        with tempfile.TemporaryDirectory() as place:
            if body is not None:
                script = Path(place) / "post.lua"
                script.write_text(f'wrk.method = "POST"\nwrk.body = [==[{body.decode()}]==]\n', "utf-8")
                asked += ["-s", str(script)]
            command = [self.wrk, "-t1", f"-c{self.connections}", f"-d{max(1, round(seconds))}s", *asked, url]
            process = await asyncio.create_subprocess_exec(
                *command, stdout=subprocess.PIPE, env={**os.environ, **self.environment}
            )
            printed = (await process.communicate())[0].decode()
        found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
        if found is None or "Non-2xx" in printed:
            raise RuntimeError(f"The load failed:\n{printed}")
        return float(found[1])


def find_load(directory: Path) -> Load:
    """Return wrk if available; its package is only unpacked into the directory, not installed."""
    if found := shutil.which("wrk"):
        return Load(found, {})
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        done = subprocess.run(
            ["apt-get", "download", *_PACKAGES], cwd=directory, capture_output=True, check=False, timeout=120
        )
        if done.returncode == 0:
            for package in directory.glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", package, directory / "wrk"], check=True)
            library = next((directory / "wrk" / "usr" / "lib").rglob("libluajit*.so*")).parent
            return Load(str(directory / "wrk" / "usr" / "bin" / "wrk"), {"LD_LIBRARY_PATH": str(library)})
    return Load(None, {})


async def _own_rate(
    url: str, headers: Mapping[str, str], seconds: float, connections: int, body: bytes | None
) -> float:
    host, _, target = url.removeprefix("http://").partition("/")
    lines = [
        f"{'GET' if body is None else 'POST'} /{target} HTTP/1.1",
        f"Host: {host}",
        *(f"{name}: {value}" for name, value in headers.items()),
        *([] if body is None else [f"Content-Length: {len(body)}"]),
    ]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")
    until = time.perf_counter() + seconds
    counts = await asyncio.gather(*(_ask_until(host, request, until) for _ in range(connections)))
    return sum(counts) / seconds


async def _ask_until(host: str, request: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection(*host.split(":"))
    count = 0
    while time.perf_counter() < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        count += 1
    writer.close()
    return count
