"""How the server accepts connections, so that each of many simultaneous clients gets an answer.

When the system's queue of connections is full, further clients get no answer, not even when to come back.
The event loop accepts one connection from each listener in each round (libuv, since 1.46), and rounds are
long under load. So one socket has several listeners.
"""

from __future__ import annotations

import resource
import signal
import socket
from types import FrameType

import uvicorn
from uvicorn.supervisors import Multiprocess

from tournee.web.stopping import begin_no_connections, own

# Connections accepted in one round of the event loop.
LISTENERS = 16

# Connections waiting to be accepted; the system may allow fewer (net.core.somaxconn).
BACKLOG = 4096

# Seconds an idle connection stays open. Proxies usually keep theirs for 60, so they close first, and never
# send a request on a connection that the server is just closing.
KEEP_ALIVE = 75


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to this address, not listening yet."""
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
    """Serve until a signal stops the server."""
    _take_as_many_as_allowed()
    sockets = listeners(bound)
    own(sockets[:1])
    if config.workers > 1:
        _Workers(config, sockets).run()
    else:
        uvicorn.Server(config).run(sockets)


class _Workers(Multiprocess):
    """Worker processes that share the listeners; this process holds them too, but accepts nothing."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        begin_no_connections()
        self.signal_queue.append(number)


def listeners(bound: socket.socket) -> list[socket.socket]:
    """Return the socket with copies of it, LISTENERS in all."""
    return [bound, *(bound.dup() for _ in range(LISTENERS - 1))]


def _take_as_many_as_allowed() -> None:
    """Raise the limit of open files to the maximum: each connection is one, and the default is low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
