"""What happens between the signal to stop and the end of the process.

1. No new connection begins; the server still accepts those in the system's queue.
2. Streams end, so that nothing waits for them.
3. The server gets the signal. It closes its listeners, and each connection after its next answer
   (web/connections.py).

Closing a listener at once would reset the connections in the system's queue. With several processes, the
queue would go on filling as long as one of them holds the listener, though none accepts any more.
"""

from __future__ import annotations

import asyncio
import ctypes
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# Seconds for handshakes under way to finish, and for the loop to accept them.
_SECONDS = 0.3


@contextmanager
def at_the_signal_to_stop(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` at the signal to stop, and pass the signal to the server a moment later."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # A server that handles the signals itself has set its handlers already.
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handled = {number: handler for number, handler in kept.items() if callable(handler)}
    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        pass_on = handled[signal.Signals(number)]
        if told:
            # A second signal: stop without waiting.
            pass_on(number, frame)
            return
        told = True
        begin_no_connections()
        loop.call_soon_threadsafe(tell)
        loop.call_soon_threadsafe(loop.call_later, _SECONDS, pass_on, number, frame)

    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)


# Listeners from which no process accepts once this one has stopped. A worker has none, because the other
# workers go on accepting.
_own: list[socket.socket] = []


def own(listeners: Iterable[socket.socket]) -> None:
    """Set the listeners that end with this process."""
    _own[:] = listeners


def begin_no_connections() -> None:
    """Let the system drop new connections: clients try again, and are refused once this process has ended.

    This is a filter for segments with SYN; it applies to all processes that share a listener.
    """
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
    described = struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
    for listener in _own:
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)


# Linux only; other systems have no such option.
_SO_ATTACH_FILTER = 26
# Load byte 13 of the TCP header, its flags; if SYN (2) is set, drop the segment, else take all of it.
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
