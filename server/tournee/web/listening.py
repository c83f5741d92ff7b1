"""How the server takes connections, so that a crowd that comes at once is heard.

Whoever is not taken from the system's queue before it is full gets no answer, not even when to come
back. The event loop takes one connection from each listener in each round (libuv, since 1.46), and a
round is long where many are being served: so one socket has several listeners.
"""

from __future__ import annotations

import resource
import signal
import socket
from types import FrameType

import uvicorn
from uvicorn.supervisors import Multiprocess

from tournee.web.stopping import begin_no_connections, own

# Connections taken in one round of the event loop.
LISTENERS = 16

# Connections waiting to be taken; the system may allow fewer (net.core.somaxconn).
BACKLOG = 4096

# Seconds an idle connection stays open: longer than proxies keep theirs, usually 60, so that it is they
# who close, and no request meets a connection that is just going.
KEEP_ALIVE = 75


def bind(host: str, port: int) -> socket.socket:
    """Return a socket at this address, on which nobody listens yet."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    bound.set_inheritable(True)
    return bound


def serve(config: uvicorn.Config, bound: socket.socket) -> None:
    """Until told to stop."""
    _take_as_many_as_allowed()
    sockets = listeners(bound)
    own(sockets[:1])
    if config.workers > 1:
        _Workers(config, sockets).run()
    else:
        uvicorn.Server(config).run(sockets)


class _Workers(Multiprocess):
    """Processes that share the listeners, which this one holds too, though it accepts nothing."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        begin_no_connections()
        self.signal_queue.append(number)


def listeners(bound: socket.socket) -> list[socket.socket]:
    """All of one socket."""
    return [bound, *(bound.dup() for _ in range(LISTENERS - 1))]


def _take_as_many_as_allowed() -> None:
    """Each connection is an open file, of which processes get few unless they ask for more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
