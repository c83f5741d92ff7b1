"""What happens between the stop signal and the exit."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import httpx2
import pytest

from tests.support.processes import free_port
from tournee.web import stopping
from tournee.web.stopping import at_the_signal_to_stop, begin_no_connections, own

ROOT = Path(__file__).parents[2]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.settimeout(5)
        own([opened])
        yield opened
    own(())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")
def test_after_the_stop_signal_no_connection_is_accepted_and_none_is_lost(listener: socket.socket) -> None:
    """Handshakes that the system has finished are still accepted; later clients may try again."""
    address = listener.getsockname()
    with socket.create_connection(address) as early:
        begin_no_connections()
        with socket.socket() as late:
            late.settimeout(0.2)
            with pytest.raises(TimeoutError):
                late.connect(address)
        accepted, _ = listener.accept()
        with accepted:
            early.sendall(b"hello")
            assert accepted.recv(5) == b"hello"
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_stopping_worker_leaves_the_listeners_to_the_others(listener: socket.socket) -> None:
    own(())
    begin_no_connections()
    socket.create_connection(listener.getsockname(), timeout=2).close()


async def test_streams_end_at_the_signal_and_the_server_stops_a_moment_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "_SECONDS", 0.1)
    assert threading.current_thread() is threading.main_thread()
    heard: list[str] = []
    server = asyncio.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        heard.append("server")
        server.set()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        with at_the_signal_to_stop(lambda: heard.append("streams")):
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
            await server.wait()
            assert heard == ["streams", "server"]
            # A second signal means not to wait.
            signal.raise_signal(signal.SIGTERM)
            assert heard == ["streams", "server", "server"]
        assert signal.getsignal(signal.SIGTERM) is handle
    finally:
        signal.signal(signal.SIGTERM, before)


class Caller(threading.Thread):
    """Calls until no connection is accepted; records every other error."""

    def __init__(self, url: str, *, keeps: bool) -> None:
        super().__init__()
        self.url, self.keeps = url, keeps
        self.answers = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        kept = httpx2.Limits(max_keepalive_connections=1 if self.keeps else 0)
        with httpx2.Client(limits=kept, timeout=60) as client:
            while not self.wrong:
                try:
                    answer = client.post(self.url, content=b"x" * 500)
                except httpx2.ConnectError:
                    return
                except httpx2.TransportError as error:
                    self.wrong.append(repr(error))
                    return
                if (answer.status_code, answer.text) != (200, "500"):
                    self.wrong.append(answer.text)
                self.answers += 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_stopping_under_load_answers_every_accepted_request(workers: int) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    process = subprocess.Popen([sys.executable, "-m", "tests.web.small", str(port), str(workers)], cwd=ROOT)
    callers = [Caller(url, keeps=keeps) for keeps in (True, False) * 3]
    try:
        for _ in range(600):
            with suppress(httpx2.TransportError):
                httpx2.post(url, content=b"x", timeout=60)
                break
            time.sleep(0.1)
        for caller in callers:
            caller.start()
        while any(caller.answers < 5 and not caller.wrong for caller in callers):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait(10)
        for caller in callers:
            caller.join(60)
    assert [caller.wrong for caller in callers] == [[]] * len(callers)
