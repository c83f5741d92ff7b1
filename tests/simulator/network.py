"""An unreliable network between devices and the application in the same process.

A request is a value and meets a `Fate`. Its sender receives an `Answer` or nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

import orjson

from tests.simulator.crashes import KINDS, POINTS, TRAPS, Died
from tests.simulator.stage import Stage


class Fate(StrEnum):
    """What happens to one request."""

    DELIVERED = "delivered"
    DROPPED = "dropped"  # it never arrives
    LOST = "answer lost"  # it takes effect, but its answer is lost
    REPEATED = "repeated"  # it arrives twice
    DELAYED = "delayed"  # it arrives after later ones, when its sender has given up
    CRASHED = "crashed"  # the server dies at one of its points


# Of a hundred requests on a bad network.
ODDS = {
    Fate.DELIVERED: 58,
    Fate.DROPPED: 8,
    Fate.LOST: 10,
    Fate.REPEATED: 8,
    Fate.DELAYED: 6,
    Fate.CRASHED: 10,
}


@dataclass(frozen=True)
class Request:
    """A request. `who` is for the trace."""

    who: str
    method: str
    path: str
    token: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    # What the sender knew, for checking the answer.
    about: Any = None
    scheme: str = "Bearer"


@dataclass(frozen=True)
class Answer:
    """A server's answer; `body` is decoded JSON."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)


Observer = Callable[[Request, Answer | None], None]


class Network:
    """Delivers requests, or not. Calls `observe` with every request that reached a server and its answer."""

    def __init__(self, stage: Stage, dice: random.Random, observe: Observer) -> None:
        self.stage = stage
        self.perfect = False
        self.faults: Counter[str] = Counter()
        self.requests = 0
        self._dice = dice
        self._observe = observe
        self._late: list[tuple[int, Request]] = []
        self._step = 0

    async def send(self, request: Request) -> Answer | None:
        """Send a request; return the answer, None if nothing came back."""
        fate = Fate.DELIVERED if self.perfect else self._dice.choices([*ODDS], [*ODDS.values()])[0]
        if fate is not Fate.DELIVERED:
            self.faults[fate] += 1
        if fate is Fate.DROPPED:
            return None
        if fate is Fate.DELAYED:
            self._late.append((self._step + self._dice.randint(1, 12), request))
            return None
        if fate is Fate.CRASHED:
            point, kind = self._dice.choice(POINTS), self._dice.choice(KINDS)
            TRAPS.arm(point, kind)
            answer = await self.deliver(request)
            if (sprung := TRAPS.disarm()) is not None:
                self.faults[f"{sprung[1]} {sprung[0]}"] += 1
            return answer
        if fate is Fate.REPEATED:
            await self.deliver(request)
        answer = await self.deliver(request)
        return None if fate is Fate.LOST else answer

    async def tick(self) -> None:
        """Deliver the requests delayed until now; nobody receives their answers."""
        self._step += 1
        due = [entry for entry in self._late if entry[0] <= self._step]
        self._late = [entry for entry in self._late if entry[0] > self._step]
        for _, request in due:
            await self.deliver(request)

    async def flush(self) -> None:
        """Deliver every delayed request."""
        late, self._late = self._late, []
        for _, request in late:
            await self.deliver(request)

    async def deliver(self, request: Request) -> Answer | None:
        """Deliver a request to one of the servers; return None if the server died."""
        self.requests += 1
        app = self.stage.apps[self._dice.randrange(len(self.stage.apps))]
        try:
            answer = await _call(app, request)
        except BaseException as error:
            if not isinstance(error, Died) and TRAPS.sprung is None:
                raise
            answer = None
            self.stage.forget()
        TRAPS.pass_on()
        self._observe(request, answer)
        return answer


async def _call(app: Any, request: Request) -> Answer:
    """Run one request through the application as an ASGI server would."""
    form = isinstance(request.body, bytes)
    body = request.body if form else b"" if request.body is None else orjson.dumps(request.body)
    pending = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope_of(request, body, form=form), receive, send)
    start = next(message for message in sent if message["type"] == "http.response.start")
    headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    raw = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return Answer(start["status"], headers, raw)


def scope_of(request: Request, body: bytes, *, form: bool) -> dict[str, Any]:
    headers = [
        (b"authorization", f"{request.scheme} {request.token}".encode()),
        (b"content-type", b"application/x-www-form-urlencoded" if form else b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"host", b"server"),
    ]
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method,
        "scheme": "http", "path": request.path, "raw_path": request.path.encode(), "root_path": "",
        "query_string": urlencode(request.query).encode(), "headers": headers,
        "server": ("server", 80), "client": ("device", 1),
    }  # fmt: skip
