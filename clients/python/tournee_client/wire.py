"""The sync endpoints' answers, parsed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from tournee_client.errors import ProtocolError

Document = dict[str, Any]

# The schema version in which this package writes command inputs.
SCHEMA = 2

_FINAL = frozenset({"applied", "merged", "superseded", "duplicate", "rejected", "quarantined", "surrendered"})
_REFUSED = frozenset({"rejected", "quarantined"})


@dataclass(frozen=True)
class Change:
    """One row as it now is, or a removed row (`record` is None)."""

    seq: int
    entity: str
    id: str
    record: Document | None

    @property
    def removed(self) -> bool:
        """Whether the row was removed."""
        return self.record is None

    @classmethod
    def parse(cls, body: Document) -> Change:
        """Parse one entry of a page."""
        record = None if body.get("removed") else dict(body["record"])
        return cls(int(body["seq"]), body["entity"], body["id"], record)


@dataclass(frozen=True)
class Progress:
    """The progress of a first copy: rows received, of about `total`."""

    done: int
    total: int

    @classmethod
    def parse(cls, body: Any) -> Progress | None:
        """Parse it; None stays None."""
        return None if body is None else cls(int(body["done"]), int(body["total"]))


@dataclass(frozen=True)
class Page:
    """A page of the feed, and the cursor after it.

    `checkpoint` is the seq up to which the copy is then complete; `mark` identifies its history.
    """

    changes: tuple[Change, ...]
    cursor: str | None
    more: bool
    resync: bool
    progress: Progress | None = None
    checkpoint: int | None = None
    mark: str | None = None

    @classmethod
    def parse(cls, body: Any, event_id: str | None = None) -> Page:
        """Parse a pull's answer, or a stream event's data and id; raise ProtocolError."""
        try:
            changes = tuple(Change.parse(change) for change in body.get("changes", ()))
            checkpoint = body.get("checkpoint")
            page = cls(
                changes,
                body.get("cursor") or event_id,
                bool(body.get("more")),
                bool(body.get("resync")),
                Progress.parse(body.get("progress")),
                None if checkpoint is None else int(checkpoint),
                body.get("mark"),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"unreadable page: {error!r}") from error
        if page.cursor is None and not page.resync:
            raise ProtocolError("the page has no cursor")
        return page


@dataclass(frozen=True)
class Outcome:
    """The server's answer about one operation; schema/sync.md explains its fields."""

    id: str
    status: str
    seq: int | None = None
    code: str | None = None
    message: str | None = None
    fields: tuple[str, ...] = ()
    conflict: Any = None
    record: Document | None = None

    @property
    def final(self) -> bool:
        """Whether the server has decided. A parked operation still waits for something."""
        return self.status in _FINAL

    @property
    def refused(self) -> bool:
        """Whether the server refused it. A repeated refusal comes as a duplicate with its code."""
        return self.status in _REFUSED or (self.status == "duplicate" and self.code is not None)

    @property
    def stands(self) -> bool:
        """Whether the operation was applied exactly as sent."""
        return self.status in ("applied", "duplicate") and not self.refused

    @classmethod
    def parse(cls, body: Document) -> Outcome:
        """Parse one entry of a push's answer."""
        record = body.get("record")
        if record is not None and not {"entity", "id"} <= record.keys():
            raise ValueError("the record has no entity or id")
        return cls(
            id=body["id"],
            status=body["status"],
            seq=body.get("seq"),
            code=body.get("code"),
            message=body.get("message"),
            fields=tuple(body.get("fields") or ()),
            conflict=body.get("conflict"),
            record=record,
        )


@dataclass(frozen=True)
class Answer:
    """A push's answer. `resync` means that the server lost its newest history and applied nothing."""

    outcomes: tuple[Outcome, ...]
    checkpoint: int
    next_number: int
    epoch: str | None = None
    resync: bool = False
    mark: str | None = None

    @classmethod
    def parse(cls, body: Any) -> Answer:
        """Parse it; raise ProtocolError if it is not a push's answer."""
        try:
            outcomes = tuple(Outcome.parse(outcome) for outcome in body["outcomes"])
            checkpoint, number = int(body.get("checkpoint") or 0), int(body.get("nextNumber") or 0)
            epoch, resync = body.get("epoch"), bool(body.get("resync"))
            return cls(outcomes, checkpoint, number, epoch, resync, body.get("mark"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"unreadable answer to a push: {error!r}") from error


def dumps(value: Any) -> str:
    """Return the value as JSON text; ids and times may be Python values."""
    return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"))


def plain(value: Document) -> Document:
    """Return the value as JSON would carry it; raise ValueError for NaN and infinity."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
    document: Document = _mended(json.loads(text))
    return document


def _mended(value: Any) -> Any:
    """Replace what the server refuses in text: NUL, and half an emoji left by a length limit."""
    if isinstance(value, str):
        return (
            value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
        )
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list) else value


def instant(moment: datetime) -> str:
    """Return an aware time in UTC as RFC 3339 text; raise ValueError without a zone."""
    if moment.tzinfo is None:
        raise ValueError("the time has no zone")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, (UUID, date)):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
