"""Sending the outbox, as often as needed: the server recognises repeated operations by their ids."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tournee_client.errors import ProtocolError
from tournee_client.link import JSON, Link
from tournee_client.outbox import Operation, units
from tournee_client.report import Report
from tournee_client.store import Store
from tournee_client.wire import SCHEMA, Answer, Document, Outcome, dumps, instant

BATCH = 500
BATCH_BYTES = 2_000_000

# The greatest age of a restored backup: well below the 400 days for which the server keeps receipts.
_AGAIN = timedelta(days=60)

# How many lost histories one push survives; nobody restores more backups in that time.
_LOSSES = 5

_SET_ASIDE = {400: "UNREADABLE", 413: "TOO_LARGE"}
_MESSAGES = {
    "UNREADABLE": "The server cannot read this.",
    "TOO_LARGE": "This is more than the server takes in one request; do it again in smaller parts.",
}


_Send = Callable[[bytes], Awaitable[Any]]


class _HistoryLost(Exception):
    """The server was restored from a backup that lacks the newest history."""


class Push:
    """Empties the outbox, one request at a time."""

    def __init__(self, link: Link, store: Store, report: Report, clock: Callable[[], datetime]) -> None:
        self._link = link
        self._clock = clock
        self._store = store
        self._report = report
        self._turn = asyncio.Lock()
        # The next number that the server expects, 0 while it is unknown.
        self._expected = 0
        # A supervisor decides later on surrendered work, so its units may be split.
        self._splits_units = False

    async def run(self, patient: bool) -> list[Outcome]:
        """Send all pending operations, then ask again about parked ones."""
        return await self._empty(
            lambda body: self._link.call("POST", "/sync/push", patient, content=body, headers=JSON)
        )

    async def surrender(self, patient: bool) -> list[Outcome]:
        """Send the outbox as a revoked device, for a supervisor to decide."""
        self._splits_units = True
        return await self._empty(lambda body: self._link.surrender(body, patient))

    async def _empty(self, send: _Send) -> list[Outcome]:
        async with self._turn:
            outcomes: list[Outcome] = []
            for _ in range(_LOSSES):
                try:
                    await self._hand_in_all(send, outcomes)
                except _HistoryLost:
                    # Accepted operations are queued again, before new ones.
                    continue
                return outcomes
            raise ProtocolError("the server's history is lost again and again")

    async def _hand_in_all(self, send: _Send, outcomes: list[Outcome]) -> None:
        if self._store.wonders:
            await self._send([], {}, send)
        outcomes += await self._name_aside(send)
        while batch := self._store.outbox.batch("pending", BATCH, BATCH_BYTES):
            outcomes += await self._hand_in(batch, send)
        outcomes += await self._ask_again(send)
        if await self._close_gaps(send):
            outcomes += await self._ask_again(send)

    async def _ask_again(self, send: _Send) -> list[Outcome]:
        outcomes: list[Outcome] = []
        after = 0
        while batch := self._store.outbox.batch("parked", BATCH, BATCH_BYTES, after):
            outcomes += await self._hand_in(batch, send)
            after = max(operation.number for operation in batch)
        return outcomes

    async def _close_gaps(self, send: _Send) -> bool:
        """Name the numbers that no operation here has; return whether the server waited for any."""
        closed = False
        while names := self._store.outbox.missing(self._expected, BATCH):
            waited = self._expected
            await self._send([{"number": number} for number in names], {}, send)
            if self._expected <= waited:
                break
            closed = True
        return closed

    async def _hand_in(self, batch: Sequence[Operation], send: _Send) -> list[Outcome]:
        self._store.outbox.tried(batch)
        try:
            answer = await self._send(*_entries(batch), send, batch[0].schema)
        except ProtocolError as error:
            if error.status not in _SET_ASIDE:
                raise
            return await self._isolate(batch, _SET_ASIDE[error.status], send)
        return self._settle(batch, answer)

    async def _send(
        self, operations: Sequence[Document], marks: Document, send: _Send, schema: int = SCHEMA
    ) -> Answer:
        body = {**self._report.document(), "device": self._store.device, "operations": operations}
        body |= {"schema": schema, "marks": marks}
        known, mark = self._store.epoch, self._store.answered_mark
        if known is not None:
            body["epoch"] = known
        if mark is not None:
            body["mark"] = mark
        # Sent as it is stored: the server refuses what it cannot read, which is then set aside.
        answer = Answer.parse(await send(dumps(body).encode()))
        now = self._clock()
        # A time from a clock that was ahead must not resend operations whose receipts have expired.
        lost = self._store.heard(answer, instant(now - _AGAIN), instant(now + timedelta(days=1)))
        if answer.resync and mark is None and answer.epoch in (None, known):
            raise ProtocolError("the server lost its history but kept its epoch")
        if answer.resync or lost:
            raise _HistoryLost
        self._expected = answer.next_number
        return answer

    def _settle(self, batch: Sequence[Operation], answer: Answer) -> list[Outcome]:
        if self._store.settle(batch, answer) == 0:
            raise ProtocolError("the answer has no outcome for any operation sent")
        return list(answer.outcomes)

    async def _isolate(self, batch: Sequence[Operation], code: str, send: _Send) -> list[Outcome]:
        """Find by halving the unit that the server cannot take and set it aside, so the rest can go."""
        together = [[operation] for operation in batch] if self._splits_units else units(batch)
        if len(together) == 1:
            self._store.outbox.set_aside(batch, code)
            return await self._name_aside(send)
        middle = len(together) // 2
        first = [operation for unit in together[:middle] for operation in unit]
        second = [operation for unit in together[middle:] for operation in unit]
        return await self._hand_in(first, send) + await self._hand_in(second, send)

    async def _name_aside(self, send: _Send) -> list[Outcome]:
        """Name the operations set aside, in batches: the server would wait for a missing number."""
        outcomes: list[Outcome] = []
        while aside := self._store.outbox.aside(BATCH):
            named = [op for op in aside if op.schema == aside[0].schema]
            names = [op.wire() | {"command": f"{op.command}:{op.state}", "input": {}} for op in named]
            answer = await self._send(names, {}, send, named[0].schema)
            said = {op.id: op.state for op in named}
            told = replace(answer, outcomes=tuple(_set_aside(one, said) for one in answer.outcomes))
            outcomes += self._settle(named, told)
            if not any(outcome.final for outcome in told.outcomes):
                break
        return outcomes


def _set_aside(outcome: Outcome, said: Mapping[str, str]) -> Outcome:
    code = said.get(outcome.id)
    if code is None or not outcome.refused:
        return outcome
    return replace(outcome, status="quarantined", code=code, message=_MESSAGES[code])


def _entries(batch: Sequence[Operation]) -> tuple[list[Document], Document]:
    """Return the operations as sent, and the marks of their bases."""
    marks = {str(operation.base): operation.mark for operation in batch if operation.mark is not None}
    return [operation.wire() for operation in batch], marks
