"""A server of a few lines that misbehaves on cue."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection
from typing import Any
from urllib.parse import parse_qs

import httpx2

Document = dict[str, Any]


class FakeServer(httpx2.AsyncBaseTransport):
    """Speaks the protocol. A cursor is `epoch:seq:start`; the snapshot began at seq `start`."""

    def __init__(self) -> None:
        self.log: list[Document] = []
        self.receipts: dict[str, Document] = {}
        self.applied: list[Document] = []
        self.pushes: list[list[Document]] = []
        self.pulls: list[str | None] = []
        self.missing: set[str] = set()
        self.too_large: set[str] = set()
        self.most_operations = 1000
        self.most_bytes = 8 * 1024 * 1024
        self.sizes: list[int] = []
        self.numbers: set[int] = set()
        self.page = 100
        self.epoch = 1
        # The epoch in answers to pushes, None for a server without epochs.
        self.history: str | None = None
        self.revoked = False
        self.refresh_token = ""
        self.access_token = ""
        self.tokens_given = 0
        self.last_event_ids: list[str | None] = []
        self.events: asyncio.Queue[Document | None] = asyncio.Queue()
        self.reports: list[Document] = []
        self.answers: list[httpx2.Response] = []
        self.progress: Document | None = None

    @property
    def head(self) -> int:
        return len(self.log)

    def write(self, entity: str, id: str, record: Document | None) -> int:
        said = {"removed": True} if record is None else {"record": record}
        self.log.append({"seq": self.head + 1, "entity": entity, "id": id, **said})
        return self.head

    def row(self, entity: str, id: str) -> Document | None:
        found = [change for change in self.log if (change["entity"], change["id"]) == (entity, id)]
        return found[-1].get("record") if found else None

    def restart_feed(self) -> None:
        """Make every cursor issued so far invalid."""
        self.epoch += 1

    def lose(self, operations: Collection[str], history: str) -> None:
        """Act as if restored from a backup that lacks these operations."""
        self.receipts = {id: said for id, said in self.receipts.items() if id not in operations}
        self.applied = [one for one in self.applied if one["id"] not in operations]
        self.history = history
        self.restart_feed()

    def expire(self) -> None:
        """Make the access token invalid."""
        self.access_token = ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        # Other requests run here, as on a network.
        await asyncio.sleep(0)
        if request.url.path == "/auth/token":
            return self._token({key: values[0] for key, values in parse_qs(body.decode()).items()})
        if request.url.path == "/auth/wiped":
            return httpx2.Response(204)
        if request.headers.get("Authorization") != f"Bearer {self.access_token or None}":
            return httpx2.Response(401, json={"code": "UNAUTHENTICATED"})
        if self.revoked:
            return httpx2.Response(403, json={"code": "DEVICE_REVOKED"})
        if self.answers:
            return self.answers.pop(0)
        if request.url.path == "/sync/push":
            self.reports.append(
                {key: value for key, value in json.loads(body).items() if key != "operations"}
            )
            return self._bounded_push(body)
        if request.url.path == "/sync/pull":
            self.reports.append(dict(request.url.params))
            page = self._pull(request.url.params.get("cursor"))
            return httpx2.Response(200, json=page | ({"progress": self.progress} if self.progress else {}))
        self.last_event_ids.append(request.headers.get("Last-Event-ID"))
        return httpx2.Response(
            200, headers={"Content-Type": "text/event-stream"}, stream=_Events(self.events)
        )

    def _token(self, form: dict[str, str]) -> httpx2.Response:
        known = form.get("password") == "demo" or form.get("refresh_token") == self.refresh_token
        if not known:
            return httpx2.Response(400, json={"error": "invalid_grant"})
        self.tokens_given += 1
        self.access_token, self.refresh_token = f"a{self.tokens_given}", f"r{self.tokens_given}"
        tokens = {"access_token": self.access_token, "refresh_token": self.refresh_token}
        return httpx2.Response(200, json={**tokens, "token_type": "Bearer", "expires_in": 300})

    def _bounded_push(self, body: bytes) -> httpx2.Response:
        self.sizes.append(len(body))
        if len(body) > self.most_bytes:
            return httpx2.Response(413, json={"error": {"code": "TOO_LARGE"}})
        said = json.loads(body)
        if len(said["operations"]) > self.most_operations:
            return httpx2.Response(400, json={"error": {"code": "INVALID", "field": "operations"}})
        return self._push(said)

    def _push(self, body: Document) -> httpx2.Response:
        if body.get("epoch", self.history) != self.history:
            lost = {"outcomes": [], "checkpoint": self.head, "epoch": self.history, "resync": True}
            return httpx2.Response(200, json=lost)
        operations = body["operations"]
        if any(op["id"] in self.too_large and not op["command"].endswith(":TOO_LARGE") for op in operations):
            return httpx2.Response(413, json={"code": "TOO_LARGE"})
        self.pushes.append(operations)
        outcomes = [self._outcome(operation) for operation in operations]
        self.numbers |= {operation["number"] for operation in operations}
        number = max(self.numbers, default=0) + 1
        return httpx2.Response(
            200,
            json={
                "outcomes": outcomes,
                "checkpoint": self.head,
                "nextNumber": number,
                "epoch": self.history,
            },
        )

    def _outcome(self, operation: Document) -> Document:
        if operation["id"] in self.receipts:
            return {**self.receipts[operation["id"]], "status": "duplicate"}
        outcome = {"id": operation["id"], **self._run(operation["command"], operation["input"])}
        if outcome["status"] != "parked":
            self.receipts[operation["id"]] = outcome
            self.applied.append(operation)
        return outcome

    def _run(self, command: str, values: Document) -> Document:
        if command.endswith((":TOO_LARGE", ":UNREADABLE")):
            return {"status": "rejected", "code": "UNKNOWN_COMMAND"}
        if values.get("siteId") in self.missing:
            return {"status": "parked", "message": "waiting for the site"}
        if command.startswith("refuse"):
            return {"status": "rejected", "code": "FORBIDDEN", "message": "Not yours.", "fields": ["id"]}
        if command == "closeBoth":
            seqs = [self.write("Visit", id, {"state": "CLOSED"}) for id in values["ids"]]
            return {"status": "applied", "seq": seqs[-1], "record": None}
        entity = command.removeprefix("create").removeprefix("update")
        id = values.get("id") or values[f"{entity[0].lower()}{entity[1:]}Id"]
        patch = {key: value for key, value in values.items() if key != "id" and key != f"{entity.lower()}Id"}
        record = {**(self.row(entity, id) or {}), **patch}
        return {
            "status": "applied",
            "seq": self.write(entity, id, record),
            "record": {"entity": entity, "id": id, **record},
        }

    def _pull(self, cursor: str | None) -> Document:
        self.pulls.append(cursor)
        epoch, start, pinned = map(int, (cursor or f"{self.epoch}:0:{self.head}").split(":"))
        if epoch != self.epoch:
            return {"changes": [], "cursor": None, "more": False, "resync": True}
        latest = {(change["entity"], change["id"]): change for change in self.log}
        due = [change for change in latest.values() if change["seq"] > start]
        # Removals from before the snapshot began are left out; later ones are sent.
        due = [change for change in due if "record" in change or change["seq"] > pinned]
        due.sort(key=lambda change: change["seq"])
        page, more = due[: self.page], len(due) > self.page
        place = page[-1]["seq"] if more else self.head
        cursor = f"{self.epoch}:{place}:{pinned if more else place}"
        return {
            "changes": page,
            "cursor": cursor,
            "checkpoint": None if more else place,
            "more": more,
            "resync": False,
        }

    def announce(self, since: str | None) -> None:
        """Send on the stream what a pull would bring."""
        self.events.put_nowait(self._pull(since))


class _Events(httpx2.AsyncByteStream):
    def __init__(self, events: "asyncio.Queue[Document | None]") -> None:
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b": hello\n\n"
        while (event := await self._events.get()) is not None:
            yield f"event: changes\nid: {event['cursor']}\ndata: {json.dumps(event)}\n\n".encode()
