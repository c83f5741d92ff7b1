"""What a device reports with each exchange. Nothing is refused or decided because of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import orjson

from tournee.kernel.times import read_time

_GREATEST = 2**53 - 1
_SAID = frozenset({"app", "schema", "queue", "clockSkew"})


@dataclass(frozen=True)
class Report:
    """The device's app and schema, the length and age of its outbox, and how far its clock is ahead."""

    app: str | None = None
    schema: int | None = None
    queue_length: int | None = None
    queue_oldest_at: datetime | None = None
    clock_skew_ms: int | None = None

    @staticmethod
    def read(body: Mapping[str, Any]) -> Report:
        """Read the report of a push; what cannot be read counts as absent."""
        queue = body.get("queue")
        queue = queue if isinstance(queue, dict) else {}
        app = body.get("app")
        return Report(
            app=app.replace("\x00", "")[:200] if isinstance(app, str) else None,
            schema=_number(body.get("schema"), 2**31 - 1),
            queue_length=_number(queue.get("length")),
            queue_oldest_at=_time(queue.get("oldestAt")),
            clock_skew_ms=_number(body.get("clockSkew"), negative=True),
        )

    @staticmethod
    def of_query(query: Mapping[str, str]) -> Report:
        """Read the report of a pull, from its parameters; `queue` is JSON."""
        if query.keys().isdisjoint(_SAID):
            return NOTHING_SAID
        body: dict[str, Any] = {"app": query.get("app")}
        for name in ("schema", "clockSkew", "queue"):
            try:
                body[name] = orjson.loads(query.get(name, "null"))
            except orjson.JSONDecodeError:
                continue
        return Report.read(body)

    def said(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns to write. What is not reported this time stays as it was; a reported queue
        replaces both its length and its oldest time.
        """
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        kept = {name: before.get(name) if value is None else value for name, value in told.items()}
        if self.queue_length is not None:
            kept["queue_oldest_at"] = self.queue_oldest_at
        return kept


NOTHING_SAID = Report()


def _number(value: Any, greatest: int = _GREATEST, *, negative: bool = False) -> int | None:
    lowest = -greatest if negative else 0
    return value if type(value) is int and lowest <= value <= greatest else None


def _time(value: Any) -> datetime | None:
    try:
        return read_time(value)
    except ValueError:
        return None
