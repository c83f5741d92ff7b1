"""The request of a push, read from its body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from tournee.kernel.errors import Invalid
from tournee.kernel.head import Mark
from tournee.sync.messages import OPERATIONS_LIMIT, SEQ_LIMIT
from tournee.sync.push.upcasts import OPERATION_SCHEMA

_LONGEST_APP = 200


@dataclass(frozen=True)
class PushRequest:
    """The operations of a device, as JSON values, and what the device reports.

    `epoch` and `mark` came with its last answer, `marks` with the bases that its operations name. `absent`:
    the device asks for nothing; only its waiting operations continue. `patience`: what has waited since
    before then runs without what it waits for, or is refused.
    """

    device_id: UUID
    operations: Sequence[Any] = ()
    app: str | None = None
    schema: int = OPERATION_SCHEMA
    epoch: UUID | None = None
    mark: Mark | None = None
    marks: Mapping[int, Mark] = field(default_factory=dict)
    absent: bool = False
    patience: datetime | None = None

    @staticmethod
    def read(body: Mapping[str, Any]) -> PushRequest:
        """Read the body; raises Invalid if the push as a whole cannot be carried out.

        Where a part of what the device reports cannot be read, that part counts as absent.
        """
        operations = body.get("operations")
        if not isinstance(operations, list):
            raise Invalid("operations: must be a list.", "operations")
        if len(operations) > OPERATIONS_LIMIT:
            raise Invalid(f"operations: at most {OPERATIONS_LIMIT} in one push.", "operations")
        app = body.get("app")
        return PushRequest(
            read_uuid(body.get("device")),
            operations,
            app.replace("\x00", "")[:_LONGEST_APP] if isinstance(app, str) else None,
            _schema(body),
            _epoch(body),
            Mark.read(body.get("mark")),
            _marks(body),
        )


def read_uuid(value: Any, name: str = "device") -> UUID:
    """Return the UUID that a request names; raises Invalid."""
    try:
        return UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise Invalid(f"{name}: must be a UUID.", name) from None


def _epoch(body: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(body["epoch"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _schema(body: Mapping[str, Any]) -> int:
    """Return the schema of the operations; an app that sends none, or none that can be read, is one of the
    first.
    """
    schema = body.get("schema")
    if isinstance(schema, float) and schema.is_integer() and schema <= SEQ_LIMIT:
        schema = int(schema)
    return schema if type(schema) is int and schema > 0 else 1


def _marks(body: Mapping[str, Any]) -> dict[int, Mark]:
    """Return the marks of the checkpoints that serve as bases, at most one for each operation of a push."""
    said = body.get("marks")
    if not isinstance(said, dict) or len(said) > OPERATIONS_LIMIT:
        return {}
    read = {base: Mark.read(text) for base, text in said.items()}
    return {int(base): mark for base, mark in read.items() if mark is not None and _is_base(base)}


def _is_base(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 17
