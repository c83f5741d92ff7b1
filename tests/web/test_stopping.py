"""What happens between the signal to stop and the end."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from tournee.web import stopping
from tournee.web.stopping import at_the_signal_to_stop, begin_no_connections, own


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.settimeout(5)
        own([opened])
        yield opened
    own(())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")
def test_no_connection_begins_after_the_signal_and_none_that_began_is_lost(listener: socket.socket) -> None:
    """Handshakes that the system has finished wait to be accepted; who comes later may try again."""
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


def test_a_worker_leaves_the_listeners_to_the_others(listener: socket.socket) -> None:
    own(())
    begin_no_connections()
    socket.create_connection(listener.getsockname(), timeout=2).close()


async def test_streams_end_at_the_signal_and_the_server_hears_of_it_a_moment_later(
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
            # Somebody does not want to wait.
            signal.raise_signal(signal.SIGTERM)
            assert heard == ["streams", "server", "server"]
        assert signal.getsignal(signal.SIGTERM) is handle
    finally:
        signal.signal(signal.SIGTERM, before)
