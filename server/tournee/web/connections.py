"""Connections: closed when they are idle or too slow, and never cut off in a request when the server stops.

By itself, uvicorn closes a connection only if no request follows an answer. A client could hold one for ever
by sending nothing, half a head, or a body byte by byte, or by not reading the answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tournee.answers import coded


@dataclass(frozen=True)
class Patience:
    """How long a connection may take, in seconds unless the name says otherwise."""

    # From the connection, or a request's first byte, to the end of its head; and the head's largest size.
    head: float = 30
    head_bytes: int = 64 * 1024
    # For a whole body: as long as an access token is valid.
    body: float = 900
    # A body must arrive, and an answer must be read, at least at this average rate, after an initial pause.
    bytes_a_second: int = 256
    pause: float = 30
    # While the server stops: the time for a client to send its next request, or to close the connection.
    linger: float = 1


class _Part(Enum):
    """The part of a request that is being read."""

    HEAD = "head"
    BODY = "body"


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with time limits."""

    patience = Patience()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reads: _Part | None = _Part.HEAD
        self._begun = False
        self._since = 0.0
        self._received = 0
        self._unsent = 0
        self._reading_timer: asyncio.TimerHandle | None = None
        self._writing_timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._parted = False

    # Reading a request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._read(_Part.HEAD)
        self._watch(self.patience.head)

    def data_received(self, data: bytes) -> None:
        if self._parted:
            return
        self._received += len(data)
        super().data_received(data)
        if self._reads is None:
            # Most requests come in one piece and need no timer.
            if self._reading_timer is not None:
                self._reading_timer.cancel()
                self._reading_timer = None
        elif self._reads is _Part.HEAD and self._received > self.patience.head_bytes:
            self._refuse(
                431, "TOO_LARGE", f"The head of a request may have at most {self.patience.head_bytes} bytes."
            )
        elif self._reading_timer is None:
            self._watch(self._due() - self.loop.time())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True
        self._read(_Part.HEAD)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._read(_Part.BODY)
        cycle = self._under_way()
        if self._stopping and cycle is not None:
            cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._reads = None

    def _read(self, part: _Part) -> None:
        self._reads, self._since, self._received = part, self.loop.time(), 0

    def _watch(self, seconds: float) -> None:
        self._reading_timer = self.loop.call_later(max(seconds, 0), self._look)

    def _due(self) -> float:
        """Return the time by which the rest must arrive, given what has arrived so far."""
        if self._reads is _Part.HEAD:
            return self._since + self.patience.head
        at_that_rate = self.patience.pause + self._received / self.patience.bytes_a_second
        return self._since + min(self.patience.body, at_that_rate)

    def _look(self) -> None:
        """Refuse a request that takes too long; if the delay is ours, restart its clock."""
        self._reading_timer = None
        if self._reads is None or self.transport.is_closing():
            return
        if self._is_our_turn():
            self._read(self._reads)
        left = self._due() - self.loop.time()
        if left > 0:
            self._watch(left)
        elif self._begun:
            self._refuse(408, "TOO_SLOW", "The request took too long to arrive.")
        else:
            # A browser may connect early; it would take a 408 for the answer to the request it sends later.
            self.transport.close()

    def _under_way(self) -> RequestResponseCycle | None:
        """Return the newest request whose head has arrived and whose answer is not complete."""
        cycle: RequestResponseCycle | None = self.cycle
        return None if cycle is None or cycle.response_complete else cycle

    def _is_our_turn(self) -> bool:
        cycle = self._under_way()
        if cycle is None:
            return False
        return self._reads is _Part.HEAD or self.flow.read_paused or cycle.waiting_for_100_continue

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "MALFORMED", "This is not HTTP/1.1.")

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer the request that is being read, unless another answer is on its way, and close."""
        cycle = self._under_way()
        if cycle is None or (self._reads is _Part.BODY and not cycle.response_started):
            answer = coded(status, code, message, headers={"Connection": "close"})
            lines = [*self.server_state.default_headers, *answer.raw_headers]
            head = b"".join(b"%b: %b\r\n" % line for line in lines)
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + bytes(answer.body))
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self._say_goodbye()

    # Writing the answer

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._stopping and not self.transport.is_closing() and not self.pipeline:
            self._linger()
        if self.transport.get_write_buffer_size() and self._writing_timer is None:
            # Closing waits until everything is sent, which may never happen.
            self._watch_writing()

    def _watch_writing(self) -> None:
        self._stop_watching_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._writing_timer = self.loop.call_later(self.patience.pause, self._look_at_writing)

    def _look_at_writing(self) -> None:
        self._writing_timer = None
        left = self.transport.get_write_buffer_size()
        if left > self._unsent - self.patience.pause * self.patience.bytes_a_second:
            if left:
                self.transport.abort()
        else:
            self._watch_writing()

    def _stop_watching_writing(self) -> None:
        if self._writing_timer is not None:
            self._writing_timer.cancel()
            self._writing_timer = None

    # The end

    def shutdown(self) -> None:
        """Answer the requests that are under way or about to arrive, then close the connection.

        Closing at once would reset the connection of a client that is just sending.
        """
        self._stopping = True
        cycle = self._under_way()
        if cycle is None:
            self._linger()
        elif not cycle.response_started:
            cycle.keep_alive = False

    def _linger(self) -> None:
        self.loop.call_later(self.patience.linger, self._part)

    def _part(self) -> None:
        """Close the connection if no request is under way."""
        comes = self._begun and self._reads is not None
        if not comes and self._under_way() is None:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        """Close our side, and ignore whatever still arrives: unread data would reset the connection."""
        if self._parted or self.transport.is_closing():
            return
        self._parted = True
        self.transport.write_eof()
        self.loop.call_later(self.patience.linger, self.transport.close)

    def handle_websocket_upgrade(self) -> None:
        self._reads = None
        if self._stopping:
            self._refuse(503, "OVERLOADED", "This server is stopping; connect again.")
            return
        self._forget_timers()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timers()
        super().connection_lost(exc)

    def _forget_timers(self) -> None:
        self._stop_watching_writing()
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None
