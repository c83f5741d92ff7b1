"""A batch as it came in, read operation by operation before any of them runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tournee.kernel.errors import OperationReused, Refused
from tournee.sync.messages import SEQ_LIMIT, Outcome, PushedOperation, read_operation


@dataclass(frozen=True)
class Incoming:
    """What stands in each place of the batch, and the operations in the order of their numbers."""

    slots: list[Outcome | PushedOperation]
    operations: list[PushedOperation]
    # Of operations that are not carried out under it: nobody must wait for such a number.
    settled: frozenset[int]
    # Units with a member that could not be read, so that none of the others may run.
    broken: frozenset[UUID]


def read_batch(raw: Sequence[Any]) -> Incoming:
    """1. Read each operation by itself; the same operation twice counts once."""
    slots: list[Outcome | PushedOperation] = []
    for item in raw:
        try:
            slots.append(read_operation(item))
        except Refused as refusal:
            id = item.get("id") if isinstance(item, dict) else None
            slots.append(rejected(id if isinstance(id, str) else None, refusal))
    first: dict[UUID, PushedOperation] = {}
    for place, slot in enumerate(slots):
        if isinstance(slot, PushedOperation):
            earlier = first.setdefault(slot.id, slot)
            if earlier.payload_hash != slot.payload_hash:
                slots[place] = rejected(str(slot.id), OperationReused())
    refused = [item for item, slot in zip(raw, slots, strict=True) if isinstance(slot, Outcome)]
    carried_out = {operation.number for operation in first.values()}
    return Incoming(
        slots=slots,
        operations=sorted(first.values(), key=lambda operation: operation.number),
        settled=frozenset(_numbers(raw) - carried_out),
        broken=frozenset(_units(refused)),
    )


def _numbers(raw: Iterable[Any]) -> set[int]:
    named = (item.get("number") for item in raw if isinstance(item, dict))
    return {number for number in named if type(number) is int and 1 <= number <= SEQ_LIMIT}


def _units(raw: Iterable[Any]) -> set[UUID]:
    found = set()
    for item in raw:
        try:
            found.add(UUID(item["unit"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def rejected(id: str | None, refusal: Refused) -> Outcome:
    """The outcome of an operation that is refused."""
    fields = [refusal.field] if refusal.field else []
    return Outcome(id, "rejected", code=refusal.code, message=refusal.message, fields=fields)
