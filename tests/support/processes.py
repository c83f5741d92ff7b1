"""The server in its own process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tournee import demo

PROGRAM = (sys.executable, "-c", "from tournee.cli import main; main()", "run")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(
    directory: Path, database_url: str | None = None, program: Sequence[str] = PROGRAM, **more: str
) -> Iterator[tuple[str, str, subprocess.Popen[str]]]:
    """Start a server from another folder; yield the line it prints, its URL and its process."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TOURNEE_")},
        "PORT": str(port),
        "TOURNEE_DIRECTORY": str(directory / "var"),
        "TOURNEE_DEMO_SIZE": "small",
        **({"DATABASE_URL": database_url} if database_url else {}),
        **more,
    }
    with (directory / "log").open("a") as log:
        process = subprocess.Popen(
            program, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        yield line, url, process
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def wait_until_ready(url: str, process: subprocess.Popen[str]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the server ended"
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("the server is not ready after 30 seconds")


def signed_in(url: str) -> dict[str, str]:
    form = {"grant_type": "password", "username": "manager@demo.example", "password": demo.PASSWORD}
    answer = httpx2.post(f"{url}/auth/token", data=form, timeout=30)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def customers(url: str, headers: dict[str, str]) -> int:
    query = "{ customers { totalCount } }"
    answer = httpx2.post(f"{url}/graphql", json={"query": query}, headers=headers, timeout=30)
    return int(answer.json()["data"]["customers"]["totalCount"])
