"""1. A push as it arrived, read operation by operation before any of them runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar
from uuid import UUID

from tournee.kernel.errors import OperationReused, Refused
from tournee.sync.messages import SEQ_LIMIT, Outcome, PushedOperation, read_operations, rejected
from tournee.sync.waiting.given_up import id_in


@dataclass(frozen=True)
class Incoming:
    """The content of each place in the push, and the operations in the order of their numbers."""

    slots: list[Outcome | PushedOperation]
    operations: list[PushedOperation]
    # Numbers under which nothing will run, so nothing waits for them.
    settled: frozenset[int]
    # Units with an unreadable member: none of the others may run.
    broken: frozenset[UUID]
    # Unreadable operations: the id, if that is readable, and the record to be created.
    malformed: tuple[tuple[UUID | None, UUID], ...]
    # The raw content of each place, and its schema.
    raw: Sequence[Any]
    schema: int

    @staticmethod
    def read(raw: Sequence[Any], schema: int) -> Incoming:
        """1. Read each operation by itself; an operation sent twice counts once."""
        slots = read_slots(raw, schema)
        malformed = [item for item, slot in zip(raw, slots, strict=True) if isinstance(slot, Outcome)]
        first: dict[UUID, PushedOperation] = {}
        for place, slot in enumerate(slots):
            if isinstance(slot, PushedOperation):
                earlier = first.setdefault(slot.id, slot)
                if earlier.payload_hash != slot.payload_hash:
                    slots[place] = rejected(str(slot.id), OperationReused())
        unread = [item for item, slot in zip(raw, slots, strict=True) if isinstance(slot, Outcome)]
        carried_out = {operation.number for operation in first.values()}
        return Incoming(
            slots=slots,
            operations=sorted(first.values(), key=lambda operation: operation.number),
            settled=frozenset(_numbers(raw) - carried_out),
            broken=frozenset(_units(unread)),
            malformed=tuple(_to_make(malformed)),
            raw=raw,
            schema=schema,
        )

    @property
    def is_nameless(self) -> bool:
        """Whether the push has content, but no number can be read anywhere in it."""
        return bool(self.slots) and not self.operations and not self.settled

    @property
    def first_number(self) -> int | None:
        """The lowest number of an operation."""
        return self.operations[0].number if self.operations else None

    def founded(self, head: int, lost: Collection[int]) -> Incoming:
        """Return the same push, without bases that the server cannot have given or gave in a lost history."""
        return replace(self, operations=[operation.founded(head, lost) for operation in self.operations])


def read_slots(raw: Sequence[Any], schema: int) -> list[Outcome | PushedOperation]:
    """Return for each place an operation, or the refusal of one that cannot be read."""
    slots: list[Outcome | PushedOperation] = []
    for item, read in zip(raw, read_operations(raw, schema), strict=True):
        if isinstance(read, Refused):
            id = item.get("id") if isinstance(item, dict) else None
            slots.append(rejected(id if isinstance(id, str) else None, read))
        else:
            slots.append(read)
    return slots


def _to_make(malformed: Iterable[Any]) -> Iterable[tuple[UUID | None, UUID]]:
    for item in malformed:
        record = id_in(item.get("input")) if isinstance(item, dict) else None
        if record is not None:
            yield id_in(item), record


def _numbers(raw: Sequence[Any]) -> set[int]:
    """Return the numbers in use. A number that cannot be read follows from its neighbours."""
    numbers = [_number(item) for item in raw]
    for place in range(1, len(numbers)):
        before = numbers[place - 1]
        if numbers[place] is None and before is not None:
            numbers[place] = before + 1
    for place in range(len(numbers) - 2, -1, -1):
        after = numbers[place + 1]
        if numbers[place] is None and after is not None and after > 1:
            numbers[place] = after - 1
    return {number for number in numbers if number is not None}


def _number(item: Any) -> int | None:
    number = item.get("number") if isinstance(item, dict) else None
    if isinstance(number, bool) or not isinstance(number, int | float) or not 1 <= number <= SEQ_LIMIT:
        return None
    return int(number) if number == int(number) else None


def _units(raw: Iterable[Any]) -> set[UUID]:
    found = set()
    for item in raw:
        try:
            found.add(UUID(item["unit"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


class InUnits(Protocol):
    """Anything with a number that may belong to a unit: an operation, or its case."""

    @property
    def number(self) -> int: ...

    @property
    def unit(self) -> UUID | None: ...


OneT = TypeVar("OneT", bound=InUnits)


def units(operations: Iterable[OneT], is_used: Callable[[int], bool] | None = None) -> Iterator[list[OneT]]:
    """Group operations into units: neighbours with the same unit id. An operation without one stands alone.

    Neighbours have consecutive numbers, apart from used ones: what the device did between two operations must
    not run after both. Pass no `is_used` where every number has had its turn.
    """
    unit: list[OneT] = []
    for operation in operations:
        if unit and not _are_neighbours(unit[-1], operation, is_used):
            yield unit
            unit = []
        unit.append(operation)
    if unit:
        yield unit


def _are_neighbours(one: InUnits, other: InUnits, is_used: Callable[[int], bool] | None) -> bool:
    if one.unit is None or one.unit != other.unit:
        return False
    return is_used is None or all(is_used(number) for number in range(one.number + 1, other.number))
