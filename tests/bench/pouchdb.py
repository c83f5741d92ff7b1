"""PouchDB Server as a peer: installed into a temporary directory, started, stopped and removed.

`POUCHDB_SERVER` may name a directory in which `npm install pouchdb-server` was run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.support.processes import free_port


class Missing(Exception):
    """The peer is not available on this machine, with the reason."""


def _installed(directory: Path) -> Path:
    """Return the path of pouchdb-server, after installing it if necessary."""
    if prepared := os.environ.get("POUCHDB_SERVER"):
        directory = Path(prepared)
    elif shutil.which("npm") is None:
        raise Missing("npm is not installed")
    else:
        install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "pouchdb-server@4"]
        done = subprocess.run(
            install, cwd=directory, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            raise Missing(f"npm install failed: {done.stderr.strip()[-200:]}")
    program = directory / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"
    if not program.exists() or shutil.which("node") is None:
        raise Missing("pouchdb-server or node is missing")
    return program


@contextmanager
def pouchdb() -> Iterator[tuple[str, str]]:
    """Yield the URL of a running server with one empty database, and its version of node."""
    with tempfile.TemporaryDirectory(prefix="pouchdb-") as name:
        directory = Path(name)
        program = _installed(directory)
        data, port = directory / "data", free_port()
        data.mkdir()
        command = ["node", str(program), "--port", str(port), "--dir", str(data), "--host", "127.0.0.1"]
        process = subprocess.Popen(command, cwd=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}/bench"
            _create(url, process)
            node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
            yield url, node.stdout.strip()
        finally:
            process.terminate()
            process.wait(30)


def _create(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if process.poll() is not None:
            raise Missing("pouchdb-server ended at once")
        try:
            if httpx2.put(url).status_code == 201:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise Missing("pouchdb-server does not answer")
