"""Answers as rows: one for each item of a checklist, however often somebody answers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.orm import Mapped

from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Merge, column
from tournee.kernel.merge import merge
from tournee.kernel.times import TimeSource
from tournee.kernel.transaction import Transaction
from tournee.procedures.accepting import accept
from tournee.procedures.definition import ChecklistItemInput, Given, ItemResult, judge


class Answer(Entity):
    """The columns of an answer. The value is in the column of the item's kind."""

    __abstract__ = True

    item_key: Mapped[str] = column(60, merge=Merge.APPEND_ONLY)
    """The item that is answered, by its key in the checklist's version."""
    checked: Mapped[bool | None] = column()
    """For items of kind CHECK: whether it is as it should be. Null for other kinds."""
    text: Mapped[str | None] = column()
    """For items of kind TEXT. Null for other kinds."""
    number: Mapped[float | None] = column()
    """For items of kind NUMBER, in the item's unit. Null for other kinds."""
    choices: Mapped[list[str]] = column(default=list)
    """For items of kind CHOICE: the chosen texts. Empty for other kinds."""
    files: Mapped[list[str]] = column(
        merge=Merge.SET_UNION, default=list, of=UUID, description="Ids of the files of a photo or signature."
    )
    not_applicable: Mapped[bool] = column(default=False)
    """Whether the item did not apply here. The other values are then empty."""
    reason: Mapped[str | None] = column(1000, description="Why the item does not apply.")
    result: Mapped[ItemResult] = column(merge=Merge.SERVER_ONLY, default=ItemResult.NA)
    """How the server judges the answer."""
    answered_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When it was given, by the device's clock."""
    answered_by_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="The account that answered.")


AnswerT = TypeVar("AnswerT", bound=Answer)


def answer_id(parent_id: UUID, item_key: str) -> UUID:
    """Return the id of the one answer to an item. It is the same on every device, so that answers meet
    instead of doubling.
    """
    return uuid5(parent_id, item_key)


def item_of(items: Sequence[ChecklistItemInput], key: str) -> ChecklistItemInput:
    """Return the item with this key; raises Invalid."""
    for item in items:
        if item.key == key:
            return item
    raise Invalid("This checklist has no such item.", "itemKey")


async def record_answer(
    tx: Transaction,
    model: type[AnswerT],
    parent_id: UUID,
    item: ChecklistItemInput,
    given: Given,
    at: datetime,
    copied: Mapping[str, Any],
) -> AnswerT:
    """Write the answer to an item, or merge it into the existing one.

    The caller holds the parent's lock, so that two devices that answer at once cannot both add it.
    """
    values = accept(item, given)
    id = answer_id(parent_id, item.key)
    found = await tx.all(select(model).where(model.id == id))
    own = {"answered_at": at, "answered_by_id": tx.actor.id}
    if not found:
        answer = await tx.add(model(id=id, item_key=item.key, **copied, **values, **own))
    else:
        answer = found[0]
        if await merge(tx, answer, values, together=True):
            for name, value in own.items():
                setattr(answer, name, value)
    answer.result = judge(item, answer)
    return answer


async def answers_of(tx: Transaction, model: type[AnswerT], parent: Any) -> dict[str, AnswerT]:
    """Return the answers under a parent, by item; `parent` is the condition that selects it."""
    return {answer.item_key: answer for answer in await tx.all(select(model).where(parent))}
