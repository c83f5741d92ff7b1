"""Find a running server for the demo, or start one for its duration.

A running server is looked for at TOURNEE_URL, else on this machine at PORT, as for `make run`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

_PATIENCE_SECONDS = 90


class NoServer(Exception):
    """No server could be reached or started."""


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Yield the address of a server with the demo organisation."""
    named = os.environ.get("TOURNEE_URL")
    expected = named or f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
    if _answers(expected):
        yield expected
    elif named:
        raise NoServer(f"TOURNEE_URL: nothing answers at {named}")
    else:
        print(f"Nothing listens at {expected}; starting a server for the demo.")
        with own_server(directory) as base_url:
            yield base_url


def _answers(base_url: str) -> bool:
    try:
        return httpx2.get(f"{base_url}/healthz", timeout=5.0, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


@contextmanager
def own_server(directory: Path) -> Iterator[str]:
    """Start a server with its files in this directory, and its database too unless DATABASE_URL is set."""
    port = _free_port()
    base_url = f"http://127.0.0.1:{port}"
    ours = {"TOURNEE_HOST": "127.0.0.1", "PORT": str(port), "TOURNEE_DIRECTORY": str(directory / "server")}
    log = directory / "server.log"
    with log.open("wb") as output:
        program = [str(Path(sys.executable).with_name("tournee")), "run"]
        process = subprocess.Popen(  # noqa: S603 - our own server
            program,
            env={**os.environ, "TOURNEE_DEMO": "1", "TOURNEE_DEMO_SIZE": "small", **ours},
            stdout=output,
            stderr=output,
        )
        try:
            _wait(process, base_url, log)
            yield base_url
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], base_url: str, log: Path) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not _answers(base_url):
        if process.poll() is not None or time.monotonic() > until:
            raise NoServer(f"the server did not start:\n{log.read_text('utf-8', 'replace')[-4000:]}")
        time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
