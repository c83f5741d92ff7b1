"""The answers of the sync endpoints as values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from tournee_client.errors import ProtocolError

Document = dict[str, Any]

# The form in which this package writes the inputs of commands.
SCHEMA = 2

_FINAL = frozenset({"applied", "merged", "superseded", "duplicate", "rejected", "quarantined", "surrendered"})
_REFUSED = frozenset({"rejected", "quarantined"})


@dataclass(frozen=True)
class Change:
    """One row as it now is, or (`record` is None) gone from this device's sight."""

    seq: int
    entity: str
    id: str
    record: Document | None

    @property
    def removed(self) -> bool:
        """Whether the row is gone."""
        return self.record is None

    @classmethod
    def parse(cls, body: Document) -> Change:
        """Read one entry of a page."""
        record = None if body.get("removed") else dict(body["record"])
        return cls(int(body["seq"]), body["entity"], body["id"], record)


@dataclass(frozen=True)
class Progress:
    """How much of a first copy has come: rows done, of about so many."""

    done: int
    total: int

    @classmethod
    def parse(cls, body: Any) -> Progress | None:
        """Read it, where there is any."""
        return None if body is None else cls(int(body["done"]), int(body["total"]))


@dataclass(frozen=True)
class Page:
    """A piece of the feed and the place after it; `checkpoint` is the seq as of which all rows then stand,
    `mark` tells it from the same number of another history."""

    changes: tuple[Change, ...]
    cursor: str | None
    more: bool
    resync: bool
    progress: Progress | None = None
    checkpoint: int | None = None
    mark: str | None = None

    @classmethod
    def parse(cls, body: Any, event_id: str | None = None) -> Page:
        """Read a pull's answer, or the data of a stream's event with its id."""
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
            raise ProtocolError("a page without a cursor")
        return page


@dataclass(frozen=True)
class Outcome:
    """What became of one operation."""

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
        """Whether the server has decided; a parked operation still waits for something."""
        return self.status in _FINAL

    @property
    def refused(self) -> bool:
        """Whether it was not carried out; a repeated refusal comes as a duplicate with its code."""
        return self.status in _REFUSED or (self.status == "duplicate" and self.code is not None)

    @property
    def stands(self) -> bool:
        """Whether the operation was carried out just as it was sent."""
        return self.status in ("applied", "duplicate") and not self.refused

    @classmethod
    def parse(cls, body: Document) -> Outcome:
        """Read one entry of a push's answer."""
        record = body.get("record")
        if record is not None and not {"entity", "id"} <= record.keys():
            raise ValueError("a record that does not say which it is")
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
    """A push's answer; `resync`: the server has lost its newest history, and carried out nothing."""

    outcomes: tuple[Outcome, ...]
    checkpoint: int
    next_number: int
    epoch: str | None = None
    resync: bool = False
    mark: str | None = None

    @classmethod
    def parse(cls, body: Any) -> Answer:
        """Read it, or say that it is none."""
        try:
            outcomes = tuple(Outcome.parse(outcome) for outcome in body["outcomes"])
            checkpoint, number = int(body.get("checkpoint") or 0), int(body.get("nextNumber") or 0)
            epoch, resync = body.get("epoch"), bool(body.get("resync"))
            return cls(outcomes, checkpoint, number, epoch, resync, body.get("mark"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"unreadable answer to a push: {error!r}") from error


def dumps(value: Any) -> str:
    """Write JSON; ids and times may be given as Python values."""
    return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"))


def plain(value: Document) -> Document:
    """Return the value as it will be after travelling as JSON; raise ValueError for NaN and infinity."""
    text = json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False)
    document: Document = _mended(json.loads(text))
    return document


def _mended(value: Any) -> Any:
    """Replace what no text holds: half an emoji, which a length limit left over, and NUL."""
    if isinstance(value, str):
        return (
            value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "\ufffd")
        )
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list) else value


def instant(moment: datetime) -> str:
    """Write an aware time in UTC, as RFC 3339."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, (UUID, date)):
        return str(value)
    raise TypeError(f"{type(value).__name__} does not travel as JSON")
