"""The server in its own process, started and stopped as people do."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.support.processes import customers, running, signed_in
from tournee import demo


def add_customer(url: str, headers: dict[str, str]) -> httpx2.Response:
    query = 'mutation { createCustomer(input: {name: "Kept"}) { __typename } }'
    return httpx2.post(f"{url}/graphql", json={"query": query}, headers=headers, timeout=30)


class Caller(threading.Thread):
    """Queries and writes in turn until a connection is refused; records every other error."""

    def __init__(self, url: str, headers: dict[str, str], *, keeps: bool) -> None:
        super().__init__()
        self.url, self.headers, self.keeps = url, headers, keeps
        self.answers = self.written = 0
        self.wrong: list[str] = []
        self.warm = threading.Event()

    def run(self) -> None:
        kept = httpx2.Limits(max_keepalive_connections=1 if self.keeps else 0)
        with httpx2.Client(base_url=self.url, headers=self.headers, limits=kept, timeout=30) as client:
            while not self.wrong and self._calls(client):
                pass
        self.warm.set()

    def _calls(self, client: httpx2.Client) -> bool:
        writes = self.answers % 2 == 1
        query = 'mutation { createCustomer(input: {name: "Load"}) { __typename } }'
        try:
            answer = client.post("/graphql", json={"query": query if writes else "{ me { __typename } }"})
        except httpx2.ConnectError:
            return False
        except httpx2.TransportError as error:
            self.wrong.append(repr(error))
            return False
        if answer.status_code != 200 or "errors" in answer.json():
            self.wrong.append(answer.text)
        self.answers += 1
        self.written += writes
        if self.answers > 5:
            self.warm.set()
        return True


@contextmanager
def under_load(url: str, headers: dict[str, str]) -> Iterator[list[Caller]]:
    """Call the server until it stops, and check that each call is answered fully or not accepted."""
    callers = [Caller(url, headers, keeps=keeps) for keeps in (True, False, True, False)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.warm.wait(60)
    yield callers
    for caller in callers:
        caller.join(60)
    assert [caller.wrong for caller in callers] == [[]] * len(callers)


@pytest.mark.slow("Two servers start, and one is stopped under load.")
def test_one_command_serves_the_demo_stops_cleanly_and_keeps_the_data(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as (line, url, process):
        assert url in line
        assert all(email in line for email in demo.emails())
        headers = signed_in(url)
        before = customers(url, headers)
        assert add_customer(url, headers).json()["data"]["createCustomer"]["__typename"] == "Customer"
        with httpx2.stream("GET", f"{url}/sync/stream", headers=headers, timeout=30) as stream:
            lines = stream.iter_lines()
            assert next(lines) == ": connected"
            written = [path for path in (tmp_path / "var").rglob("*") if path.is_file()]
            assert {path.name for path in written} >= {"tournee.db", "tournee.db-wal"}
            assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
            with under_load(url, headers) as callers:
                started = time.monotonic()
                process.send_signal(signal.SIGTERM)
                assert list(lines)
                assert process.wait(60) in (0, -signal.SIGTERM)
                assert time.monotonic() - started < 60
    with running(tmp_path) as (_, url, _):
        # The earlier token works: keys and data are still there.
        assert customers(url, headers) == before + 1 + sum(caller.written for caller in callers)
    made, *logged = (tmp_path / "log").read_text().splitlines()
    assert made.startswith("Made ")
    for text in logged:
        assert json.loads(text)["level"] in ("info", "warning"), text


@pytest.mark.prove_on("postgresql", "Three workers start, and each imports the whole server.")
def test_several_workers_share_keys_and_metrics(tmp_path: Path, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        with pytest.raises(AssertionError, match="ended"), running(tmp_path, TOURNEE_WORKERS="2"):
            pass
        return
    with running(tmp_path, database_url, TOURNEE_WORKERS="3", TOURNEE_DEMO="1") as (_, url, process):
        headers = signed_in(url)
        # A new connection each, so that every worker gets some.
        for _ in range(30):
            assert customers(url, headers) > 0
        counted = 'tournee_http_requests_total{method="POST",route="/graphql",status="200"}'
        (line,) = [
            line for line in httpx2.get(f"{url}/metrics").text.splitlines() if line.startswith(counted)
        ]
        assert float(line.split()[-1]) == 30
        with under_load(url, headers):
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM)
