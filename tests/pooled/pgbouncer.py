"""A PgBouncer of our own, in transaction mode: two sessions for any number of clients."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, make_url

from tests.support.postgres import libpq
from tests.support.processes import free_port

# As a database may be set by its owner, and as the server must not find it in a transaction.
UNSUITABLE = {"jit": "on", "timezone": "Asia/Kolkata", "work_mem": "4MB"}


@dataclass
class Served:
    """A server in two processes behind PgBouncer."""

    url: str
    log: Path
    database_url: str
    port: int


SESSIONS = 2

# Neither ignores start-up options nor cleans a session after a transaction, so that nothing is hidden.
CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {users}
admin_users = tournee
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
server_reset_query =
query_wait_timeout = 20
logfile = {log}
{user}
"""


def find() -> str | None:
    """Return the path of PgBouncer, None if it is not installed."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@contextmanager
def pgbouncer(program: str, server: str) -> Iterator[int]:
    """Start one in front of this URL's server; yield its port."""
    folder = Path(tempfile.mkdtemp(prefix="tournee-pgbouncer-"))
    # PgBouncer refuses to run as root, and then becomes the user who may open PostgreSQL's socket.
    folder.chmod(0o777)
    try:
        yield from _running(program, make_url(server), folder)
    finally:
        shutil.rmtree(folder)


def _running(program: str, target: URL, directory: Path) -> Iterator[int]:
    host = str(target.query.get("host", target.host))
    users = directory / "users"
    users.write_text('"tournee" ""\n"postgres" ""\n')
    port = free_port()
    configuration = directory / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=host,
            port=target.query.get("port", target.port) or 5432,
            listen=port,
            users=users,
            sessions=SESSIONS,
            log=directory / "log",
            user=f"user = {Path(host).owner()}" if os.geteuid() == 0 else "",
        )
    )
    process = subprocess.Popen([program, "-q", str(configuration)])
    try:
        _wait(port, directory / "log", process)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def behind(port: int, url: str) -> str:
    """Return the URL of the same database by way of PgBouncer at this port."""
    pooled = make_url(url).set(host="127.0.0.1", port=port, query={})
    return pooled.render_as_string(hide_password=False)


def _wait(port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        assert process.poll() is None, log.read_text() if log.exists() else "PgBouncer ended"
        try:
            with console(port):
                return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@contextmanager
def console(port: int) -> Iterator[psycopg.Connection[Any]]:
    """Yield a connection to PgBouncer itself, which answers `SHOW POOLS` and the like."""
    url = f"postgresql://tournee@127.0.0.1:{port}/pgbouncer"
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        yield connection


def sessions(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Yield a transaction on each of the pool's sessions, all at the same time."""
    opened = [psycopg.connect(libpq(url), autocommit=True, prepare_threshold=None) for _ in range(SESSIONS)]
    try:
        for connection in opened:
            connection.execute("BEGIN")
        yield from opened
    finally:
        for connection in opened:
            connection.close()
