"""Subscribers of `GET /sync/stream`: devices and an office tool.

Their connections break between events, and their servers learn of some commits late. A stream changes
nothing for anybody else, and uses its own random numbers.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import orjson

from tests.simulator.device import KIND, Device, Document, Person
from tests.simulator.network import Answer, Request, scope_of
from tests.simulator.violations import require

if TYPE_CHECKING:
    from tests.simulator.simulation import Simulation
    from tests.simulator.world import Company

# The last digit of the seeds that have subscribers.
SEEDS = (6, 8)
_LIMIT = "500"
# Turns of the loop after which a stream must be waiting.
_PATIENCE = 100_000


class Connection:
    """One open request; its events are taken once the server has no more to send."""

    def __init__(self, app: Any, request: Request) -> None:
        self.app = app
        self._gone = asyncio.Event()
        self._sent: list[bytes] = []
        self.task = asyncio.ensure_future(app(scope_of(request, b"", form=False), self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self._sent.append(message.get("body", b""))

    def taken(self) -> list[Document]:
        """Return the events since the last call, each with its name, data and, if any, id."""
        text, self._sent = b"".join(self._sent).decode(), []
        blocks = [block for block in text.split("\n\n") if block.startswith("event: ")]
        return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]

    async def close(self) -> None:
        self._gone.set()
        await self.task


class Follower:
    """Keeps a copy from a stream alone. Its cursor is that of the last event it stored."""

    def __init__(self, name: str, company: Company, person: Person, device: Device | None) -> None:
        self.name = name
        self.company = company
        self.person = person
        self.account = person.account
        self.device = device
        self.rows: dict[str, Document] = {}
        self.cursor: str | None = None
        # The previous event's cursor: an app may store rows and die before it stores the next cursor.
        self.before: str | None = None
        self.whole = False
        self.role = ""
        self.compared = 0
        self.connection: Connection | None = None

    def connect(self, app: Any) -> None:
        actor = self.company.actor(self.person, self.device)
        self.role = str(actor.role)
        if self.cursor is None:
            self.rows, self.whole = {}, False
        self.connection = Connection(app, self.request(app.state.tokens.issue(actor)))

    def request(self, token: str = "") -> Request:
        query = {"limit": _LIMIT} | ({"cursor": self.cursor} if self.cursor else {})
        return Request(self.name, "GET", "/sync/stream", token, query, about=(self,))

    def store(self, page: Document) -> None:
        self.compared = 0
        if page["resync"]:
            self.rows, self.cursor, self.before, self.whole = {}, None, None, False
            return
        for change in page["changes"]:
            if change.get("removed"):
                self.rows.pop(change["id"], None)
            else:
                self.rows[change["id"]] = {KIND: change["entity"], **change["record"]}
        self.before, self.cursor, self.whole = self.cursor, page["cursor"], not page["more"]

    async def drop(self) -> None:
        if self.connection is not None:
            connection, self.connection = self.connection, None
            await connection.close()


class Followers:
    """All subscribers, and the faults of their connections."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.dice = random.Random(f"followers {seed}")
        self.simulation = simulation
        self.happens = seed % 10 in SEEDS
        self.all: list[Follower] = []

    def begin(self) -> None:
        for company in self.simulation.judge.companies if self.happens else ():
            self.all.append(Follower(f"tool {company.mark}", company, company.manager, None))
            for person in company.technicians[:2]:
                self.all.append(Follower(f"{person.name} listens", company, person, person.devices[0]))

    async def step(self) -> None:
        for follower in self.all:
            choice = self.dice.random()
            if follower.connection is None and choice < 0.4:
                follower.connect(self.dice.choice(self.simulation.stage.apps))
            elif choice < 0.04:
                await follower.drop()
        self._ring(0.6)
        await self._settle()
        for follower in self.all:
            await self._take(follower, 0.08)

    async def end(self) -> None:
        """Check that over a good network every subscriber receives everything."""
        for _ in range(4):
            for follower in self.all:
                if follower.connection is None:
                    follower.connect(self.dice.choice(self.simulation.stage.apps))
            self._ring(1)
            await self._settle()
            for follower in self.all:
                await self._take(follower, 0)
        for follower in self.all:
            shut_out = follower.device is not None and follower.device.revoked
            require(shut_out or follower.whole, "a stream sends every change", follower.name)
        await self.drop_all()

    async def drop_all(self) -> None:
        for follower in self.all:
            await follower.drop()

    def _ring(self, often: float) -> None:
        """Notify a server of the log's head, or not: the next commit or its own query will."""
        self._told = set()
        for app in self.simulation.stage.apps:
            for company in self.simulation.judge.companies:
                if self.dice.random() < often:
                    app.state.wake.heard(company.id, company.chronicle.top)
                    self._told.add((id(app), company.mark))

    async def _settle(self) -> None:
        """Wait until every stream waits for something new or has ended."""
        for _ in range(_PATIENCE):
            await asyncio.sleep(0)
            if all(self._is_quiet(app) for app in self.simulation.stage.apps):
                return
        require(False, "a stream waits once it has sent everything", [one.name for one in self.all])

    def _is_quiet(self, app: Any) -> bool:
        wake = app.state.wake
        open_ones = [one for one in self.all if one.connection is not None and one.connection.app is app]
        running = sum(one.connection is not None and not one.connection.task.done() for one in open_ones)
        return not wake._looking and running == sum(len(waiting) for waiting in wake._waiting.values())

    async def _take(self, follower: Follower, odds: float) -> None:
        """Store event by event; if the connection breaks, that event and later ones are lost."""
        connection = follower.connection
        if connection is None:
            return
        for event in connection.taken():
            if self.dice.random() < odds:
                self.simulation.network.faults["stream broken"] += 1
                follower.cursor = self.dice.choice([follower.cursor, follower.before or follower.cursor])
                await follower.drop()
                return
            if event["event"] == "changes":
                self._check_page(follower, event)
            else:
                self._check_closed(follower, event)
        if connection.task.done():
            connection.task.result()
            follower.connection = None
        elif (id(connection.app), follower.company.mark) in self._told:
            self._compare(follower)

    def _check_page(self, follower: Follower, event: Document) -> None:
        judge, company = self.simulation.judge, follower.company
        answer = Answer(200, {}, event["data"].encode())
        judge.check_page(follower.request(), answer, company)
        judge.counts["events"] += 1
        shut_out = follower.device is not None and follower.device.revoked
        require(not shut_out, "a revoked device receives nothing more", f"{follower.name}: {event}")
        follower.store(answer.body)
        require(
            answer.body["resync"] or event["id"] == follower.cursor, "an event is called by its cursor", event
        )

    def _check_closed(self, follower: Follower, event: Document) -> None:
        code = orjson.loads(event["data"])["error"]["code"]
        account = follower.company.chronicle.rows["Account"][follower.account]
        revoked = follower.device is not None and follower.device.revoked
        changed = account["status"] != "ACTIVE" or account["role"] != follower.role
        require(code == "TOKEN_EXPIRED" or revoked or changed, "nobody is cut off without a reason", event)
        told = not revoked or code in ("DEVICE_REVOKED", "TOKEN_EXPIRED")
        require(told, "a revoked device receives the order to erase its copy", event)
        self.simulation.judge.counts[f"streams closed {code}"] += 1

    def _compare(self, follower: Follower) -> None:
        """Compare the copy once its server knows the head and has sent everything."""
        account = follower.company.chronicle.rows["Account"][follower.account]
        shut_out = follower.device is not None and follower.device.revoked
        require(not shut_out, "the stream of a revoked device is closed", follower.name)
        require(account["status"] == "ACTIVE", "the stream of a disabled account is closed", follower.name)
        news = follower.compared != follower.company.chronicle.top
        if follower.whole and account["role"] == follower.role and news:
            follower.compared = follower.company.chronicle.top
            self.simulation.judge.compare(follower.company, follower)
            self.simulation.judge.counts["streams compared"] += 1
