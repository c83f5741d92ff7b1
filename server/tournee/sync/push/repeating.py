"""Repeated facts: somebody tapped twice. The step happened once, and nobody has to decide anything.

A repetition has the same command and values, apart from times and its own id. It comes from the same device,
and the record is still in the state in which that device left it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select

from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.fields import fields
from tournee.kernel.references import references
from tournee.sync.messages import Outcome
from tournee.sync.models import Receipt
from tournee.sync.push.batch import Batch
from tournee.sync.push.case import Case, Ready

_HAPPENED = ("applied", "merged")


def meaning_of(command: Command[Any, Any], do: Any) -> str | None:
    """Return a hash of what a fact says, whenever it was said; None if the command is not a fact."""
    if not command.fact:
        return None
    said = {field.name: getattr(do, field.name) for field in dataclasses.fields(do) if field.name != "id"}
    lasting = {name: value for name, value in said.items() if not isinstance(value, datetime)}
    text = orjson.dumps([command.name, lasting], default=str, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


async def repeated(batch: Batch, ready: Ready, case: Case) -> Outcome | None:
    """Return the outcome of a step that is refused because this device took it before; None if it did not."""
    meaning = meaning_of(ready.command, ready.do)
    named = next(((model, id) for _, model, id in references(ready.command, ready.do)), None)
    if meaning is None or named is None or not batch.tx.notes.is_as_before():
        return None
    model, id = named
    happened = any(
        outcome.meaning == meaning and outcome.status in _HAPPENED and one.number < case.number
        for one, outcome in batch.decided
    ) or (await _was_received(batch, meaning, case) and await _left_so(batch, model, id))
    return Outcome(str(case.id), "applied", entity=model.__name__, record_id=id) if happened else None


async def _was_received(batch: Batch, meaning: str, case: Case) -> bool:
    before = select(Receipt.operation_id).where(
        Receipt.device_id == batch.device.device_id,
        Receipt.number < case.number,
        Receipt.meaning == meaning,
        Receipt.status.in_(_HAPPENED),
    )
    with batch.tx.session.no_autoflush:
        return await batch.tx.session.scalar(before.limit(1)) is not None


async def _left_so(batch: Batch, model: type[Entity], id: UUID) -> bool:
    """Return whether nobody else has changed the record's status since. A record without a status stays as it
    was.
    """
    if "status" not in {field.wire for field in fields(model)}:
        return True
    with batch.tx.session.no_autoflush:
        await batch.tx.clocks.load([id])
    stamp = (batch.tx.clocks.find(id) or {}).get("status")
    return stamp is not None and stamp[1] == str(batch.device.device_id)
