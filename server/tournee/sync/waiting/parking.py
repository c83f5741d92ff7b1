"""Store operations that wait, and find the record that one waits for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete

from tournee.kernel.entity import now
from tournee.kernel.errors import NotFound
from tournee.kernel.fields import camel
from tournee.kernel.references import references
from tournee.kernel.visibility import ever_visible
from tournee.sync.messages import PushedOperation
from tournee.sync.models import ParkedOperation
from tournee.sync.push.batch import Batch
from tournee.sync.push.case import Case, Ready, read_parked

_MADE_BY_DEVICES = 7


def operations(parked: Iterable[ParkedOperation]) -> list[PushedOperation]:
    return [read_parked(one) for one in parked]


async def missing_parent(batch: Batch, case: Case, refusal: BaseException) -> UUID | None:
    """Return the missing record for which the operation was refused, if a device may still send it.

    Only three things count: the version of the id, what this push creates, and what this device has seen. A
    hidden record is therefore answered like one that does not exist.
    """
    ready, actor = batch.read(case), batch.tx.actor
    if not isinstance(refusal, NotFound) or not isinstance(ready, Ready):
        return None
    for name, model, id in references(ready.command, ready.do):
        may_come = id.version == _MADE_BY_DEVICES or id in batch.makes
        if camel(name) == refusal.field and may_come and actor.may(model.reads):
            with batch.tx.session.no_autoflush:
                return None if await batch.tx.session.scalar(ever_visible(actor, id)) else id
    return None


async def write_parked(batch: Batch) -> None:
    """8. Store what waits, and delete what was decided."""
    cases = batch.cases.values()
    gone = [one.id for one in cases if one.parked is not None and (one.is_decided or one.begins_to_wait)]
    if gone:
        over = delete(ParkedOperation).where(ParkedOperation.operation_id.in_(gone))
        # Pending rows are not to be flushed yet.
        with batch.tx.session.no_autoflush:
            await batch.tx.session.execute(over, execution_options={"synchronize_session": False})
    same = {"device_id": batch.device.device_id}
    rows = [_row(case) for case in cases if case.begins_to_wait]
    await batch.tx.statements.insert_many(ParkedOperation.__table__, rows, same)


def _row(case: Case) -> dict[str, Any]:
    operation = case.operation
    return {
        "operation_id": case.id,
        "number": case.number,
        "reason": case.reason,
        "waits_for": case.waits_for,
        "schema": operation.schema,
        "attempts": case.attempts,
        "base_unknown": operation.base_unknown,
        "operation": orjson.dumps(operation.raw).decode(),
        "received_at": case.parked.received_at if case.parked is not None else now(),
    }
