"""Stop the work for a client that has disconnected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import Receive

# Seconds before the server looks for the client: most answers are sent by then.
LOOKS_AFTER = 0.1


class UntilItLeaves:
    """Cancels the task inside the block when the client disconnects; the block then raises ClientDisconnect.

    `may_stop` is asked first; what must not be stopped halfway, such as a mutation, goes on.
    """

    def __init__(self, receive: Receive, may_stop: Callable[[], bool]) -> None:
        self._receive = receive
        self._may_stop = may_stop
        self._watch: asyncio.Task[None] | None = None
        self._left = False

    def __enter__(self) -> None:
        self._work = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(LOOKS_AFTER, self._look)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if self._left and self._work is not None and not self._work.uncancel():
            raise ClientDisconnect from error

    def _look(self) -> None:
        if self._may_stop():
            self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            # What remains of a body that nobody reads.
            continue
        self._left = True
        if self._work is not None:
            self._work.cancel()
