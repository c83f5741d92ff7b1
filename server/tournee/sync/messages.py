"""The operations of a push and their outcomes as values, read from JSON one operation at a time.

A malformed operation gets an outcome of its own; the others continue.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson

from tournee.kernel.errors import Invalid, Refused
from tournee.kernel.inputs import Limits, parse, parse_many
from tournee.sync.push.upcasts import OPERATION_SCHEMA, upcast

OPERATIONS_LIMIT = 1000
# The largest whole number that every JSON reader holds exactly.
SEQ_LIMIT = 2**53 - 1


@dataclass(frozen=True)
class _Envelope:
    id: UUID
    number: Annotated[int, Limits(maximum=SEQ_LIMIT)]
    command: str
    occurred_at: datetime
    unit: UUID | None = None
    base: Annotated[int | None, Limits(minimum=0, maximum=SEQ_LIMIT)] = None


@dataclass(eq=False)
class PushedOperation:
    """One thing that a device did; immutable. `number` rises by one on each device. `base` is the seq at
    which the device last saw the record, None for a record that it created itself.
    """

    id: UUID
    number: int
    command: str
    input: Any
    occurred_at: datetime
    unit: UUID | None
    base: int | None
    payload_hash: str
    schema: int
    raw: dict[str, Any] = field(repr=False)

    @property
    def base_unknown(self) -> bool:
        """Whether the base that the device sent is of no use."""
        return self.base != self.raw.get("base")

    def founded(self, head: int, lost: Collection[int] = ()) -> PushedOperation:
        """Return the operation without its base if that is of no use: it is beyond the head, or its history
        is lost.
        """
        if self.base is None or (self.base <= head and self.base not in lost):
            return self
        return self.unfounded()

    def unfounded(self) -> PushedOperation:
        """Return the operation as if the device had seen nothing, so that no conflict stays hidden."""
        return replace(self, base=0)


def _payload_hash(raw: dict[str, Any], base: int | None) -> str:
    """Hash what the operation means, without its place in the push."""
    meaning = {key: raw.get(key) for key in ("command", "input", "unit", "occurredAt")} | {"base": base}
    try:
        return hashlib.sha256(orjson.dumps(meaning, option=orjson.OPT_SORT_KEYS)).hexdigest()
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes.
        raise Invalid("input: is nested too deeply.", "input") from None


def read_operations(raw: Sequence[Any], schema: int) -> list[PushedOperation | Refused]:
    """Read each operation from decoded JSON, or return why it cannot be read."""
    try:
        envelopes = parse_many(_Envelope, [_without_input(one) for one in raw])
    except Refused:
        # At least one is malformed, so read each by itself.
        return [_told(read_operation, one, schema) for one in raw]
    return [_told(_read, one, schema, envelope) for one, envelope in zip(raw, envelopes, strict=True)]


def _told(read: Callable[..., PushedOperation], *given: Any) -> PushedOperation | Refused:
    try:
        return read(*given)
    except Refused as refusal:
        return refusal


def read_operation(raw: Any, schema: int = OPERATION_SCHEMA) -> PushedOperation:
    """Read an operation from decoded JSON; raises Invalid naming every wrong field."""
    return _read(raw, schema, parse(_Envelope, _without_input(raw)))


def _without_input(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise Invalid("An operation must be an object.")
    return {key: value for key, value in raw.items() if key != "input"}


def _read(raw: dict[str, Any], schema: int, envelope: _Envelope) -> PushedOperation:
    """Hash what was sent rather than the upcast form, so that a repetition by an old app is recognised after
    an upgrade.
    """
    if envelope.number < 1:
        raise Invalid("number: counts from 1.", "number")
    if len(envelope.command) > 80:
        raise Invalid("command: is too long.", "command")
    command, input = upcast(envelope.command, raw.get("input", {}), schema)
    return PushedOperation(
        id=envelope.id,
        number=envelope.number,
        command=command,
        input=input,
        occurred_at=envelope.occurred_at,
        unit=envelope.unit,
        base=envelope.base,
        payload_hash=_payload_hash(raw, envelope.base),
        schema=schema,
        raw=raw,
    )


def as_record(entity: str, document: str) -> str:
    """Return a record's wire form with the name of its type."""
    return f'{{"entity":"{entity}",{document[1:]}'


@dataclass
class Outcome:
    """The outcome of an operation. `fields` are those whose value is not the one sent."""

    id: UUID | str | None
    status: str
    seq: int | None = None
    code: str | None = None
    message: str | None = None
    fields: list[str] = field(default_factory=list)
    conflict: str | None = None
    entity: str | None = None
    record_id: UUID | None = None
    # For the receipt alone: by record, the fields that were sent and did not change.
    unmoved: dict[str, list[str]] = field(default_factory=dict)
    # For the receipt alone: the hash of a fact, to recognise its repetition.
    meaning: str | None = None

    def stored(self) -> str:
        """Return what its receipt has no column for, as JSON."""
        apart = ("id", "status", "seq", "unmoved", "meaning")
        kept = {name: value for name, value in vars(self).items() if value and name not in apart}
        return orjson.dumps(kept).decode()

    @staticmethod
    def repeated(stored: str, id: UUID, status: str, seq: int | None) -> Outcome:
        """Return the outcome of an operation that was decided before: a refusal stays a refusal.

        Receipts of earlier versions name id, status and seq once more.
        """
        values: dict[str, Any] = {"status": status, "seq": seq, **orjson.loads(stored), "id": str(id)}
        if values.get("record_id"):
            values["record_id"] = UUID(values["record_id"])
        if values["status"] != "rejected":
            values["status"] = "duplicate"
        return Outcome(**values)

    def body(self) -> str:
        """Return the outcome as JSON, without its record."""
        return orjson.dumps(
            {
                "id": self.id,
                "status": self.status,
                "seq": self.seq,
                "code": self.code,
                "message": self.message,
                "fields": self.fields,
                "conflict": self.conflict,
            }
        ).decode()

    def message_body(self, records: Mapping[UUID, str]) -> str:
        """Return the outcome as JSON, with the record as it stands now."""
        return self.completed(self.body(), records)

    def completed(self, body: str, records: Mapping[UUID, str]) -> str:
        """Return this body with the record added."""
        record = "null"
        if self.record_id is not None:
            gone = f'{{"entity":"{self.entity}","id":"{self.record_id}","removed":true}}'
            record = records.get(self.record_id, gone)
        return f'{body[:-1]},"record":{record}}}'


def rejected(id: str | None, refusal: Refused) -> Outcome:
    return Outcome(id, "rejected", code=refusal.code, message=refusal.message, fields=refusal.fields)


def waiting(id: str, for_what: str, code: str | None = None) -> Outcome:
    return Outcome(id, "parked", code=code, message=f"Waits for {for_what}.")
