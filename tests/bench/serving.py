"""Servers to measure: ours in its own process, and one that does nothing, run the same way."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
_OURS = ("-c", "from tournee.cli import main; main()", "run")
_NOTHING = ("-m", "tests.bench.nothing")
_HANDWRITTEN = ("-m", "tests.bench.handwritten")
# The same server, whose read engine leaves every answer to the executor.
_WITHOUT_ENGINE = """
from unittest.mock import AsyncMock
from tournee.api.reading.engine import Reads
Reads.answer = AsyncMock(return_value=None)
from tournee.cli import main
main()
"""
_EXECUTOR = ("-c", _WITHOUT_ENGINE, "run")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    """Wait until a server listens on the port."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"No server started: {process.args!r}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Served:
    """A running server: its address and its process."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def memory_kb(self) -> int:
        """Return the process's present memory in kB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text("utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RuntimeError("no VmRSS")


@contextmanager
def _running(arguments: tuple[str, ...], environment: Mapping[str, str], log: Path) -> Iterator[Served]:
    port = free_port()
    path = os.pathsep.join([str(ROOT), str(ROOT / "server")])
    env = {**os.environ, "PYTHONPATH": path, "PORT": str(port), **environment}
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, *arguments], stdout=out, stderr=out, env=env, cwd=ROOT)
        try:
            wait_for(port, process)
            yield Served(port, process)
        finally:
            stop(process)


@contextmanager
def ours(url: str, directory: Path, *, executor: bool = False, **environment: str) -> Iterator[Served]:
    """Yield our server with one worker on this database, logging to a file as in production; with
    `executor`, the ordinary executor answers everything.
    """
    own = {
        "DATABASE_URL": url, "TOURNEE_DIRECTORY": str(directory), "TOURNEE_DEMO": "0",
        "TOURNEE_HOST": "127.0.0.1", "TOURNEE_WORKERS": "1", **environment,
    }  # fmt: skip
    with _running(_EXECUTOR if executor else _OURS, own, directory / "server.log") as served:
        yield served


@contextmanager
def nothing(directory: Path) -> Iterator[Served]:
    """Yield a Starlette endpoint that does nothing, in a server with the same settings."""
    with _running(_NOTHING, {}, directory / "nothing.log") as served:
        yield served


@contextmanager
def handwritten(directory: Path, **environment: str) -> Iterator[Served]:
    """Yield the hand-written endpoint of `reading`, in a server with the same settings."""
    with _running(_HANDWRITTEN, environment, directory / "handwritten.log") as served:
        yield served


async def get(port: int, target: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Send one GET on its own connection; return the status and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {target} HTTP/1.1", "Host: bench", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body
