"""Numbering: give records the numbers that people call them by, consecutive and without gaps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy import Uuid, bindparam
from sqlalchemy.orm.attributes import set_committed_value

from tournee.engine.border import OwnText
from tournee.engine.statements import OrganisationSession
from tournee.kernel.fields import camel

if TYPE_CHECKING:
    from tournee.kernel.entity import Entity
    from tournee.kernel.log import Entry
    from tournee.kernel.numbers import Numbers


def to_be_numbered(entries: Iterable[Entry]) -> dict[type[Entity], list[Entry]]:
    """Return the entries of new rows that carry a number, by entity."""
    made: dict[type[Entity], list[Entry]] = {}
    for entry in entries:
        if entry.before is None and type(entry.row).numbers is not None:
            made.setdefault(type(entry.row), []).append(entry)
    return made


async def give_numbers(session: OrganisationSession, made: dict[type[Entity], list[Entry]]) -> None:
    """Number the new rows; the last write before the head row is locked.

    A transaction that takes a number makes all others wait for theirs until it commits. The rows are its own:
    no other transaction can hold them, so no writer can deadlock here.
    """
    for model in sorted(made, key=lambda model: model.__tablename__):
        assert model.numbers is not None
        name, rows = model.numbers.field, []
        taken = await _take(session, model.numbers, len(made[model]))
        for entry, number in zip(made[model], taken, strict=True):
            set_committed_value(entry.row, name, number)
            entry.after[camel(name)] = number
            rows.append({"id": entry.row.id, name: number})
        await session.statements.update_many(model.__table__, ("id",), rows)


async def _take(session: OrganisationSession, numbers: Numbers, count: int) -> Iterable[str]:
    """Return the next `count` numbers."""
    taken = await session.execute(
        OwnText(
            f"INSERT INTO {numbers.counter} (organisation_id, last) VALUES (:organisation_id, :last)"  # noqa: S608
            f" ON CONFLICT (organisation_id) DO UPDATE SET last = {numbers.counter}.last + :count"
            " RETURNING last"
        ).bindparams(bindparam("organisation_id", type_=Uuid)),
        {
            "organisation_id": session.statements.organisation_id,
            "last": numbers.first + count - 1,
            "count": count,
        },
    )
    last = int(taken.scalar_one())
    return (f"{numbers.prefix}{number}" for number in range(last - count + 1, last + 1))
