"""Several commands in one transaction: all or none of them, or each by itself."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError

from tournee.kernel.actor import Actor
from tournee.kernel.command import Command, Kernel, is_transient, stored_record
from tournee.kernel.entity import Entity, now
from tournee.kernel.errors import Conflict, FieldError, NotFound, Refused, UnitRefused
from tournee.kernel.once import Once, claim, keep
from tournee.kernel.operation import Expected
from tournee.kernel.transaction import Operation, Transaction


class ErrorPolicy(enum.StrEnum):
    """What happens to the other commands if one is refused."""

    ALL_OR_NOTHING = "ALL_OR_NOTHING"
    """No command takes effect."""
    EACH = "EACH"
    """Each command takes effect or is refused, whatever happens to the others."""


@dataclass(frozen=True)
class Order:
    """One of the commands, with its input."""

    command: Command[Any, Any]
    do: Any
    expected: Expected | None = None


class _Stopped(Exception):
    """One of the commands was refused, so none takes effect."""

    def __init__(self, place: int, refusal: Refused) -> None:
        super().__init__(place)
        self.place = place
        self.refusal = refusal


async def perform_together(
    kernel: Kernel,
    actor: Actor,
    orders: Sequence[Order | Refused],
    policy: ErrorPolicy,
    once: Once | None = None,
) -> list[Entity | Refused]:
    """Run the commands in their order; return for each its record or why it was refused. An order is a
    refusal already if its input was wrong.
    """
    whole = policy is ErrorPolicy.ALL_OR_NOTHING

    async def work(tx: Transaction) -> list[Entity | Refused]:
        if once is not None and (answers := await claim(tx, once)) is not None:
            return [await _again(tx, order, answer) for order, answer in zip(orders, answers, strict=True)]
        done: list[Entity | Refused] = []
        for place, order in enumerate(orders):
            done.append(order if isinstance(order, Refused) else await _run(tx, order, whole=whole))
            if whole and isinstance(done[-1], Refused):
                raise _Stopped(place, done[-1])
        if once is not None:
            await keep(tx, once, [_answer(one) for one in done])
        return done

    wrong = [place for place, order in enumerate(orders) if isinstance(order, Refused)]
    if whole and wrong:
        return [order if isinstance(order, Refused) else UnitRefused() for order in orders]
    try:
        return await kernel.transact(actor, work)
    except _Stopped as stopped:
        return [stopped.refusal if at == stopped.place else UnitRefused() for at in range(len(orders))]


async def _run(tx: Transaction, order: Order, *, whole: bool) -> Entity | Refused:
    operation = Operation(order.command.name, now(), device_id=tx.actor.device_id, expected=order.expected)
    try:
        if whole:
            made: Entity = await order.command.run(tx, order.do, operation)
            return made
        async with tx.savepoint():
            return await order.command.run(tx, order.do, operation)  # type: ignore[no-any-return]
    except Refused as refusal:
        return refusal
    except IntegrityError as error:
        if whole or is_transient(error):
            raise
        return Conflict("This clashes with an existing record.")


def _answer(one: Entity | Refused) -> dict[str, Any]:
    if isinstance(one, Refused):
        errors = [asdict(error) for error in one.errors]
        return {"code": one.code, "message": one.message, "field": one.field, "errors": errors}
    return {"id": str(one.id)}


async def _again(tx: Transaction, order: Order | Refused, answer: dict[str, Any]) -> Entity | Refused:
    """Return what was answered before."""
    if isinstance(order, Refused):
        return order
    if "id" in answer:
        try:
            row: Entity = await stored_record(tx, order.command.output, answer["id"])
        except NotFound as hidden:
            return hidden
        return row
    errors = [FieldError(**error) for error in answer["errors"]]
    refusal = Refused(answer["message"], answer["field"], errors=errors)
    refusal.code = answer["code"]  # type: ignore[misc]
    return refusal
