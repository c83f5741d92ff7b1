"""Old entries of the log move to files; what reads the log says so or stays right."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from sqlalchemy import make_url, select, update

from tests.support.aging import age, archive_log, filed, logged
from tests.support.ask import answer, ask
from tests.support.device import TestDevice, technicians_device, visit
from tests.support.house import House
from tests.support.postgres import libpq
from tournee.archiving import moving, parquet, planning, shortening
from tournee.archiving.parquet import ArchiveFailed
from tournee.catalogue import COMMANDS
from tournee.customers.models import Customer
from tournee.kernel.archived import ArchivedChanges
from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH, Conflict
from tournee.kernel.entity import now
from tournee.kernel.errors import ResyncNeeded
from tournee.kernel.head import Mark, was_lost
from tournee.kernel.log import Change, Head, Record
from tournee.sync.push.push import push
from tournee.sync.push.request import PushRequest

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

HISTORY = "query($id: ID!) {history(id: $id) {nodes {seq} archives {file firstSeq lastSeq recordedFrom}}}"


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every loop go round more than once."""
    monkeypatch.setattr(moving, "PORTION", 3)
    monkeypatch.setattr(planning, "MOST", 7)
    monkeypatch.setattr(shortening, "PORTION", 2)
    monkeypatch.setattr("tournee.engine.purging.CHUNK", 2)


async def grown(house: House, years: int = 2) -> Any:
    """Return a customer with twenty changes that are years old and one of today."""
    customer = await house.run("createCustomer", name="Demo Hotel")
    for n in range(20):
        await house.run("updateCustomer", customerId=customer.id, phone=f'old "{n}"\n')
    await age(house, years * 365)
    await house.run("updateCustomer", customerId=customer.id, phone="new")
    return customer


async def test_entries_are_in_the_log_or_in_one_file(house: House, tmp_path: Path) -> None:
    await grown(house)
    before = await logged(house)
    moved = await archive_log(house, tmp_path)
    kept = await logged(house)
    # The head's own change stays, and the one at the floor.
    assert kept == before[-2:]
    assert filed(tmp_path) == before[:-2]
    assert moved.written == moved.removed == len(before) - 2
    assert sorted(moved.files) == names(tmp_path)
    assert len(moved.files) == 3
    again = await archive_log(house, tmp_path)
    assert (again.files, again.written, again.removed) == ((), 0, 0)
    assert await logged(house) == kept


async def test_nothing_that_is_newer_is_archived(house: House, tmp_path: Path) -> None:
    await grown(house, years=1)
    moved = await archive_log(house, tmp_path)
    assert (moved.files, moved.removed) == ((), 0)


async def test_the_last_change_stays_however_old(house: House, tmp_path: Path) -> None:
    device = await technicians_device(house)
    await grown(house)
    await age(house, 800)
    await device.pull()
    await archive_log(house, tmp_path)
    page = await device.feed.pull(device.actor, device.cursor)
    assert page.changes == []
    assert [row["seq"] for row in await logged(house)] == [await house.seq()]


async def test_an_old_device_resyncs_and_hands_in_its_work_and_a_newer_one_converges(
    house: House, tmp_path: Path
) -> None:
    old, newer = await technicians_device(house), TestDevice(house, "MANAGER")
    appointment, me = await visit(house, old)
    await old.pull()
    note = old.operation("addNote", appointmentId=appointment, text="Demo: from long ago", at=now())
    await house.run("createSkill", name="Lifts")
    await house.run("unassignTechnician", appointmentId=appointment, technicianId=me)
    await age(house, 500)
    at = await recorded(house, old.base)
    await house.run("createSkill", name="Doors")
    await newer.pull()
    await house.run("createSkill", name="Boilers")
    assert (await archive_log(house, tmp_path)).written > 0
    with pytest.raises(ResyncNeeded):
        await old.feed.pull(old.actor, old.cursor)
    mark = Mark(old.base, at)
    sent = PushRequest(old.id, [note], mark=mark, marks={old.base: mark})
    pushed = await push(house.kernel, COMMANDS, old.actor, sent)
    assert [one.status for one in pushed.outcomes] in (["applied"], ["merged"])
    await old.pull()
    assert old.rows == await old.fresh()
    await newer.feed.pull(newer.actor, newer.cursor)
    await newer.pull()
    assert newer.rows == await newer.fresh()


async def recorded(house: House, seq: int) -> int:
    async with house.reading() as session:
        at = await session.scalar(select(Change.recorded_at).where(Change.seq == seq))
    return Mark.of(seq, at).recorded


async def test_a_mark_of_another_history_is_not_taken_for_archived(house: House, tmp_path: Path) -> None:
    device = await technicians_device(house)
    await device.pull()
    await grown(house)
    at = await recorded(house, device.base)
    await archive_log(house, tmp_path)
    elsewhere = Mark(device.base, await recorded(house, await house.seq()))
    pushed = await push(house.kernel, COMMANDS, device.actor, PushRequest(device.id, [], mark=elsewhere))
    assert pushed.resync
    ours = Mark(device.base, at)
    pushed = await push(house.kernel, COMMANDS, device.actor, PushRequest(device.id, [], mark=ours))
    assert not pushed.resync


async def test_archived_numbers_are_not_lost_ones(house: House, tmp_path: Path) -> None:
    await house.run("createSkill", name="Lifts")
    async with house.writing() as session:
        await session.execute(update(Head).values(seq=Head.seq + 1000))
        await session.commit()
    await grown(house)
    seqs = [row["seq"] for row in await logged(house)]
    await archive_log(house, tmp_path)
    async with house.reading() as session:
        ranges = (await session.execute(select(ArchivedChanges.first_seq, ArchivedChanges.last_seq))).all()
        lost = [seq for seq in range(seqs[-1] + 1) if await was_lost(session, seq)]
    # No file reaches across the gap.
    assert ranges[0] == (seqs[0], seqs[0])
    assert all(first > 1000 for first, _ in ranges[1:])
    assert lost == list(range(seqs[0] + 1, seqs[1] - 1))


# -- merges ----------------------------------------------------------------------------------------


async def edited_before_and_after(house: House, tmp_path: Path, *steps: dict[str, Any]) -> tuple[Any, Any]:
    """Let the office make the second edit before the archive's end, and the third after it; the device saw
    the first.
    """
    first, second, third = steps
    device = TestDevice(house, "MANAGER")
    customer = await house.run("createCustomer", name="Demo Hotel", **first)
    await device.pull()
    await house.run("updateCustomer", "DISPATCHER", customerId=customer.id, **second)
    await house.run("createSkill", name="Lifts")
    await age(house, 500)
    await house.run("updateCustomer", "DISPATCHER", customerId=customer.id, **third)
    await house.run("createSkill", name="Doors")
    await archive_log(house, tmp_path)
    assert (await house.changes(customer.id))[0].before is not None
    return device, customer


async def test_an_edit_whose_base_is_archived_is_not_taken_for_no_edit(house: House, tmp_path: Path) -> None:
    device, customer = await edited_before_and_after(
        house, tmp_path, {"phone": "first"}, {"phone": "second"}, {"phone": "third"}
    )
    outcome = await device.do("updateCustomer", customerId=customer.id, phone="second")
    assert outcome.status == "merged"
    (conflict,) = await house.rows(Conflict)
    assert (conflict.kind, conflict.mine, conflict.theirs) == (
        FIELD_CHANGED_BY_BOTH,
        {"phone": "second"},
        {"phone": "third"},
    )


async def test_a_set_whose_base_is_archived_loses_nothing(house: House, tmp_path: Path) -> None:
    device, customer = await edited_before_and_after(
        house, tmp_path, {"tags": ["a"]}, {"tags": ["a", "b"]}, {"tags": ["a", "b", "c"]}
    )
    await device.do("updateCustomer", customerId=customer.id, tags=["a", "d"])
    (row,) = [row for row in (await device.fresh()).values() if row["entity"] == "Customer"]
    assert row["tags"] == ["a", "b", "c", "d"]


async def clock(house: House, id: Any) -> Any:
    async with house.reading() as session:
        return orjson.loads(await session.scalar(select(Record.clock).where(Record.id == id)) or "")


async def test_the_clock_of_a_record_whose_changes_are_archived_is_short_and_still_right(
    house: House, tmp_path: Path
) -> None:
    old, newer = TestDevice(house, "MANAGER"), TestDevice(house, "DISPATCHER")
    customer = await house.run("createCustomer", name="Demo Hotel", phone="first", tags=["a"])
    untouched = await house.run("createCustomer", name="Demo Bakery")
    await old.pull()
    await house.run("updateCustomer", "DISPATCHER", customerId=customer.id, phone="second")
    await house.run("updateCustomer", "DISPATCHER", customerId=customer.id, tags=["a", "b"])
    created, *_, last = await house.changes(customer.id)
    await house.run("createSkill", name="Lifts")
    await age(house, 500)
    await house.run("createSkill", name="Doors")
    await archive_log(house, tmp_path)
    assert await clock(house, customer.id) == {
        "*": [created.seq, None, None],
        "?": [last.seq, None, None],
    }
    assert list(await clock(house, untouched.id)) == ["*"]
    await newer.pull()
    outcome = await newer.do("updateCustomer", customerId=customer.id, phone="third")
    assert outcome.status == "applied"
    outcome = await old.do("updateCustomer", customerId=untouched.id, phone="mine")
    assert outcome.status == "applied"
    outcome = await old.do("updateCustomer", customerId=customer.id, tags=["a", "c"])
    assert outcome.status == "merged"
    (row,) = await house.rows(Customer, Customer.id == customer.id)
    assert row.tags == ["a", "b", "c"]
    # The device never saw what stands, so its edit is no edit of that.
    outcome = await old.do("updateCustomer", customerId=customer.id, phone="first", name="Demo Inn")
    assert outcome.status == "merged"
    (conflict,) = await house.rows(Conflict)
    assert (conflict.mine["phone"], conflict.theirs["phone"]) == ("first", "third")


async def test_a_record_that_changes_meanwhile_keeps_its_new_clock(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    if house.database.is_sqlite:
        pytest.skip("SQLite has one writer.")
    customer = await house.run("createCustomer", name="Demo Hotel")
    url = make_url(house.database.url).set(username="postgres").render_as_string(hide_password=False)
    new = '{"*":[7,null,null]}'

    def shortened(clock: Any) -> Any:
        with psycopg.connect(libpq(url)) as other:
            other.execute("UPDATE record SET seq = seq + 9, clock = %s WHERE id = %s", (new, customer.id))
        return clock

    monkeypatch.setattr(shortening, "shortened", shortened)
    seq = await house.seq()
    await shortening.shorten_clocks(house.database, house.organisation_id, seq, seq)
    assert await clock(house, customer.id) == orjson.loads(new)


# -- what GraphQL says -------------------------------------------------------------------------------


async def test_history_names_the_files_of_earlier_entries_to_the_office(house: House, tmp_path: Path) -> None:
    customer = await grown(house)
    await archive_log(house, tmp_path)
    later = await house.run("createCustomer", name="Demo Bakery")
    found = (await ask(house, HISTORY, "DISPATCHER", id=str(customer.id)))["history"]
    assert [one["file"] for one in found["archives"]] == names(tmp_path)[::-1]
    assert str(tmp_path) not in str(found)
    assert len(found["nodes"]) == 2
    assert (await ask(house, HISTORY, "DISPATCHER", id=str(later.id)))["history"]["archives"] == []
    every = "{changes(first: 1) {archives {file}}}"
    assert len((await ask(house, every, "DISPATCHER"))["changes"]["archives"]) == len(found["archives"])
    refused = await answer(house, every, await house.account("TECHNICIAN"))
    assert refused.codes == ["FORBIDDEN"]


async def test_history_names_no_file_that_is_incomplete(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = await grown(house)

    async def stops(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(moving, "_note", stops)
    with pytest.raises(KeyboardInterrupt):
        await archive_log(house, tmp_path)
    found = (await ask(house, HISTORY, "DISPATCHER", id=str(customer.id)))["history"]
    assert (len(found["nodes"]), found["archives"]) == (22, [])


async def test_nobody_knows_any_more_when_an_archived_time_was_received(house: House, tmp_path: Path) -> None:
    device = await technicians_device(house)
    appointment, _ = await visit(house, device)
    await device.pull()
    note = await device.do("addNote", appointmentId=appointment, text="Demo", at=now())
    suspect = "query($id: ID!) {note(id: $id) {clockSuspect}}"
    assert await ask(house, suspect, "DISPATCHER", id=str(note.record_id)) == {
        "note": {"clockSuspect": False}
    }
    await house.run("createSkill", name="Lifts")
    await age(house, 500)
    await house.run("createSkill", name="Doors")
    await archive_log(house, tmp_path)
    assert await ask(house, suspect, "DISPATCHER", id=str(note.record_id)) == {"note": {"clockSuspect": None}}


# -- files -------------------------------------------------------------------------------------------


async def test_a_file_that_holds_something_else_is_never_overwritten(
    house: House, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    await grown(house)
    before = await logged(house)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    name = f"changes-{house.organisation_id}-{1:012d}-{7:012d}.parquet"
    other = await House(house.database).found()
    await grown(other)
    moved = await archive_log(other, elsewhere)
    content = (elsewhere / moved.files[0]).read_bytes()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArchiveFailed, match="holds something else"):
        await archive_log(house, tmp_path)
    assert (tmp_path / name).read_bytes() == content
    assert await logged(house) == before
    (tmp_path / name).unlink()
    await archive_log(house, tmp_path)
    assert filed(tmp_path) == before[:-2]


def damage(file: Path) -> None:
    text = file.read_bytes()
    file.write_bytes(text[:200] + bytes(40) + text[240:])


async def test_a_damaged_file_removes_nothing(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grown(house)
    before = await logged(house)
    real = parquet.write

    async def damaged(path: Path, portions: Any) -> Any:
        content = await real(path, portions)
        damage(path)
        return content

    monkeypatch.setattr(parquet, "write", damaged)
    with pytest.raises(ArchiveFailed):
        await archive_log(house, tmp_path)
    assert await logged(house) == before
    assert names(tmp_path) == []


async def test_times_in_files_are_those_of_the_log(house: House, tmp_path: Path) -> None:
    await grown(house)
    before = await logged(house)
    await archive_log(house, tmp_path)
    assert filed(tmp_path)[0]["recorded_at"] == before[0]["recorded_at"].astimezone(UTC)
    assert now() - filed(tmp_path)[0]["recorded_at"] > timedelta(days=700)
