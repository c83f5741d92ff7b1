"""`tournee tail` copies the log to files, each entry once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from sqlalchemy import update

from tests.support.aging import age, archive_log, logged
from tests.support.copies import copied
from tests.support.house import House
from tests.support.sockets import waking
from tournee.archiving import parquet
from tournee.catalogue import sync_contract
from tournee.kernel.entity import new_id
from tournee.kernel.head import read_head
from tournee.kernel.log import Head
from tournee.sync.pull.cursor import Cursor
from tournee.tailing import entries, following
from tournee.tailing.entries import NAMES, TailFailed
from tournee.tailing.folder import Folder, opened, started
from tournee.tailing.following import Tailing
from tournee.tailing.formats import Format
from tournee.tailing.formats.sqlite import FILE, Table


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every loop go round more than once."""
    monkeypatch.setattr(entries, "PORTION", 2)
    monkeypatch.setattr(following, "MOST", 5)


async def beginning(house: House) -> Cursor:
    async with house.reading() as session:
        return Cursor((await read_head(session)).epoch, 0)


@contextlib.asynccontextmanager
async def tailing(
    house: House, path: Path, kind: Format = Format.JSONL
) -> AsyncIterator[tuple[Tailing, Folder]]:
    start = started(path) or await beginning(house)
    with opened(path, house.organisation_id, kind, start, sync_contract(90)) as folder:
        yield Tailing(house.database, house.organisation_id, folder.store, lambda _: None), folder


async def once(house: House, path: Path, kind: Format = Format.JSONL) -> None:
    async with tailing(house, path, kind) as (tail, folder):
        await tail.catch_up(folder.end)


async def grow(house: House, changes: int = 7) -> None:
    customer = await house.run("createCustomer", name='Demo "Hotel"\n')
    for n in range(changes):
        await house.run("updateCustomer", customerId=customer.id, phone=f"{n}")


def test_a_copy_has_the_columns_of_the_log() -> None:
    assert NAMES == parquet._NAMES


@pytest.mark.parametrize("kind", Format)
async def test_a_copy_continues_where_it_ended(house: House, tmp_path: Path, kind: Format) -> None:
    await grow(house)
    await once(house, tmp_path, kind)
    assert copied(tmp_path, kind) == await logged(house)
    await grow(house, 2)
    await once(house, tmp_path, kind)
    await once(house, tmp_path, kind)
    assert copied(tmp_path, kind) == await logged(house)
    said = orjson.loads((tmp_path / "schema.json").read_bytes())
    assert [one["name"] for one in said["columns"]] == list(NAMES)
    (fields,) = [one["fields"] for one in said["entities"] if one["name"] == "Customer"]
    assert "phone" in {one["name"] for one in fields}


def test_only_the_owner_of_a_copy_can_read_it(tmp_path: Path) -> None:
    Table(tmp_path).close()
    assert not (tmp_path / FILE).stat().st_mode & 0o077


async def test_a_follower_copies_what_comes_and_ends_when_told(house: House, tmp_path: Path) -> None:
    async with waking(house) as wake, tailing(house, tmp_path) as (tail, folder):
        following = asyncio.create_task(tail.follow(folder.end, 0.01, wake))
        await grow(house)
        async with asyncio.timeout(5):
            while (end := folder.end).seq < await house.seq():  # noqa: ASYNC110 - files have no event
                await asyncio.sleep(0.01)
        wake.close()
        assert await asyncio.wait_for(following, 5) == end
    assert copied(tmp_path, Format.JSONL) == await logged(house)


async def test_what_was_not_finished_is_written_again(house: House, tmp_path: Path) -> None:
    await grow(house)
    unfinished = tmp_path / "changes.abc.part"
    unfinished.write_text("half of")
    await once(house, tmp_path)
    assert not unfinished.exists()
    assert copied(tmp_path, Format.JSONL) == await logged(house)


async def test_a_folder_has_one_writer_and_one_copy(house: House, tmp_path: Path) -> None:
    async with tailing(house, tmp_path):
        with pytest.raises(TailFailed, match="Another process"):
            await once(house, tmp_path)
    with pytest.raises(TailFailed, match="another format"):
        await once(house, tmp_path, Format.SQLITE)
    other = await House(house.database).found()
    with pytest.raises(TailFailed, match="another organisation"):
        await once(other, tmp_path)


async def test_a_copy_never_mixes_two_histories(house: House, tmp_path: Path) -> None:
    await grow(house)
    await once(house, tmp_path)
    async with house.writing() as session:
        await session.execute(update(Head).values(epoch=new_id()))
        await session.commit()
    with pytest.raises(TailFailed, match="restored"):
        await once(house, tmp_path)


async def test_a_copy_goes_on_where_a_restored_log_leaps(house: House, tmp_path: Path) -> None:
    await grow(house)
    async with house.writing() as session:
        await session.execute(update(Head).values(seq=Head.seq + 10**15))
        await session.commit()
    await grow(house)
    await once(house, tmp_path)
    assert copied(tmp_path, Format.JSONL) == await logged(house)


async def test_a_copy_has_no_silent_gap_where_the_log_was_archived(house: House, tmp_path: Path) -> None:
    (copy := tmp_path / "copy").mkdir()
    await grow(house)
    await age(house, 800)
    await grow(house)
    await archive_log(house, tmp_path)
    with pytest.raises(TailFailed, match="were archived to files"):
        await once(house, copy)
