"""The merge of two people's edits: each policy compared with its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.support.device import TestDevice
from tests.support.house import House, wire
from tournee.catalogue import ENTITIES
from tournee.kernel.conflict import Conflict
from tournee.kernel.fields import NOT_EDITABLE, Merge, fields
from tournee.kernel.registry import BY_NAME, registered
from tournee.sync.pull.feed import records_now

QUICKLY = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXTS = st.sampled_from([None, "a", "b", "c"])
DAYS = st.sampled_from([None, *(date(2027, 1, 1) + timedelta(days=n) for n in range(4))])
SETS = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)


@dataclass(frozen=True)
class Case:
    """A field with a policy, and its possible values."""

    policy: Merge
    entity: str
    field: str
    values: st.SearchStrategy[Any]

    def __str__(self) -> str:
        return self.policy.value


CASES = [
    Case(Merge.LAST_ARRIVAL, "Customer", "phone", TEXTS),
    Case(Merge.FIRST_WINS, "Customer", "externalKey", TEXTS),
    Case(Merge.SET_UNION, "Customer", "tags", SETS),
    Case(Merge.REVIEW, "Site", "accessNotes", TEXTS),
    Case(Merge.MAX, "Asset", "warrantyEndsOn", DAYS),
    Case(Merge.MIN, "Asset", "installedOn", DAYS),
]

# The merged value of a field that both changed, and whether a person must decide.
MODEL: Mapping[Merge, Callable[[Any, Any, Any], tuple[Any, bool]]] = {
    Merge.LAST_ARRIVAL: lambda base, theirs, mine: (mine, True),
    Merge.FIRST_WINS: lambda base, theirs, mine: (theirs, True),
    Merge.REVIEW: lambda base, theirs, mine: (theirs, True),
    Merge.MAX: lambda base, theirs, mine: (max(theirs or date.min, mine or date.min), False),
    Merge.MIN: lambda base, theirs, mine: (min(theirs or date.max, mine or date.max), False),
    Merge.SET_UNION: lambda base, theirs, mine: (
        (set(theirs) | (set(mine) - set(base))) - (set(base) - set(mine)), False
    ),
}  # fmt: skip


def merged(policy: Merge, base: Any, theirs: Any, mine: Any) -> tuple[Any, bool]:
    """Merge three ways: a side without a change does not count."""
    if mine in (base, theirs):
        return theirs, False
    return (mine, False) if theirs == base else MODEL[policy](base, theirs, mine)


def same(policy: Merge, held: Any, wanted: Any) -> bool:
    return set(held) == set(wanted) if policy is Merge.SET_UNION else held == wire(wanted)


class Field:
    """One record with the field, a device that has pulled it, and the office."""

    def __init__(self, house: House, case: Case) -> None:
        self.house, self.case = house, case
        self.entry: Any = registered(BY_NAME[case.entity])
        self.device = TestDevice(house, "DISPATCHER")

    async def begin(self, base: Any) -> Field:
        case = self.case
        given: dict[str, Any] = {"name": "Demo", case.field: base}
        if case.entity != "Customer":
            given["customerId"] = (await self.house.run("createCustomer", name="Demo")).id
        self.id: UUID = (await self.house.run(self.entry.create.name, **given)).id
        # As after a pull, without the pull.
        async with self.house.reading() as session:
            (document,) = await self._records(session)
        self.device.base = document[0]
        return self

    async def _records(self, session: Any) -> Any:
        from tournee.kernel.log import Record

        rows = await session.execute(
            select(Record.seq, Record.document).where(
                Record.organisation_id == self.house.organisation_id, Record.id == self.id
            )
        )
        return rows.all()

    def edit(self, value: Any) -> tuple[str, dict[str, Any]]:
        return self.entry.update.name, {self.entry.key: self.id, self.case.field: value}

    async def office(self, value: Any) -> None:
        name, given = self.edit(value)
        await self.house.run(name, **given)

    async def mine(self, *values: Any) -> list[Any]:
        """Push these edits together."""
        edits = [self.edit(value) for value in values]
        return await self.device.push(*(self.device.operation(name, **given) for name, given in edits))

    async def held(self) -> Any:
        async with self.house.reading() as session:
            ((_, document),) = await self._records(session)
        return orjson.loads(document)[self.case.field]

    async def answered(self) -> Any:
        """Return the value in the record that the device receives with its outcome."""
        found = await records_now(self.house.database, self.device.actor, [self.id])
        return orjson.loads(found[self.id])[self.case.field]

    async def conflicts(self) -> list[Conflict]:
        async with self.house.reading() as session:
            mine = Conflict.record_id == self.id
            return list(await session.scalars(select(Conflict).where(mine)))


@pytest.mark.parametrize("case", CASES, ids=str)
@QUICKLY
@given(data=st.data())
async def test_a_policy_merges_two_edits_as_its_model_does(
    house: House, case: Case, data: st.DataObject
) -> None:
    base, theirs, mine = (data.draw(case.values) for _ in range(3))
    record = await Field(house, case).begin(base)
    await record.office(theirs)
    (outcome,) = await record.mine(mine)
    wanted, disputed = merged(case.policy, base, theirs, mine)
    held = await record.held()
    assert same(case.policy, held, wanted)
    # The outcome gives the final value, and the fields that differ from the sent ones.
    assert await record.answered() == held
    differs = held != wire(mine)
    assert (case.field in outcome.fields) is differs
    prevailed = differs and same(case.policy, held, theirs)
    assert outcome.status == (
        "superseded" if prevailed else "merged" if wire(theirs) != wire(base) else "applied"
    )
    found = await record.conflicts()
    # With MAX and MIN the losing value stays readable, and nobody decides.
    set_aside = case.policy in (Merge.MAX, Merge.MIN) and prevailed and mine != base
    assert len(found) == (disputed or set_aside) == (outcome.conflict is not None)
    for conflict in found:
        assert (conflict.status, conflict.kind) == (
            ("RESOLVED", "VALUE_SET_ASIDE") if set_aside else ("OPEN", "FIELD_CHANGED_BY_BOTH")
        )
        sides = (conflict.base, conflict.mine, conflict.theirs, conflict.standing)
        assert sides == tuple({case.field: wire(one)} for one in (base, mine, theirs, wanted))


@pytest.mark.parametrize("together", [True, False], ids=["in one push", "one by one"])
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_devices_earlier_edits_cause_no_conflict(house: House, case: Case, together: bool) -> None:
    """The second edit follows the first although its base is the same."""
    values: list[Any] = {TEXTS: ["a", "b", "c"], DAYS: [date(2027, 1, n) for n in (1, 2, 3)]}.get(
        case.values, [["a"], ["b"], ["c"]]
    )
    record = await Field(house, case).begin(values[0])
    outcomes = await record.mine(*values[1:]) if together else [
        (await record.mine(value))[0] for value in values[1:]
    ]  # fmt: skip
    assert [(one.status, one.fields, one.conflict) for one in outcomes] == [("applied", [], None)] * 2
    assert same(case.policy, await record.held(), values[2])


@pytest.mark.parametrize("together", [True, False], ids=["in one push", "one by one"])
async def test_later_edits_of_a_device_join_or_pass_its_first_conflict(house: House, together: bool) -> None:
    """A conflict is reported once, in one push or in several."""
    last = await Field(house, CASES[0]).begin("base")
    await last.office("theirs")
    outcomes = await last.mine("first", "second") if together else [
        (await last.mine(value))[0] for value in ("first", "second")
    ]  # fmt: skip
    (conflict,) = await last.conflicts()
    assert [one.conflict for one in outcomes] == [str(conflict.id), None]
    assert await last.held() == "second"
    review = await Field(house, CASES[3]).begin("base")
    await review.office("theirs")
    outcomes = await review.mine("first", "second") if together else [
        (await review.mine(value))[0] for value in ("first", "second")
    ]  # fmt: skip
    (conflict,) = await review.conflicts()
    assert [one.conflict for one in outcomes] == [str(conflict.id)] * 2
    assert (conflict.mine, len(conflict.operation_ids)) == ({"accessNotes": "second"}, 2)
    assert await review.held() == "theirs"


async def test_fields_changed_by_only_one_side_do_not_conflict(house: House) -> None:
    record = await Field(house, CASES[0]).begin("base")
    await house.run("updateCustomer", customerId=record.id, email="theirs@demo.example", tags=["theirs"])
    (outcome,) = await record.mine("mine")
    assert (outcome.status, outcome.fields, outcome.conflict) == ("merged", [], None)


def test_every_policy_is_tested_on_some_field() -> None:
    used = {one.merge for entity in ENTITIES.values() for one in fields(entity)}
    assert used == set(Merge)
    assert {case.policy for case in CASES} == set(Merge) - NOT_EDITABLE
