"""`tournee backup` and `tournee restore`: every row is restored, or nothing changes and one line says why."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zipfile import ZipFile

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import TableClause, column, make_url, select, text

from tests.operating.terminal import Terminal
from tests.support import migrate
from tests.support.house import House
from tests.support.postgres import ask_driver, libpq
from tournee.backups import postgresql, sqlite
from tournee.customers.models import Customer
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import Base, Organisation, now
from tournee.kernel.errors import NotFound
from tournee.kernel.log import Head

# Texts that a parser of COPY's format could misread.
NAMES = ["Demo\tBakery", "Line\n\\.\nline", "COPY customer (id) FROM stdin;", "\\N", "Zürich 🛠", "'; --"]
# A new epoch changes these.
ANEW = {"head", "device_state"}

Contents = dict[str, list[str]]


@pytest_asyncio.fixture
async def other(database: Database) -> House:
    """Return another organisation in the same database."""
    return await House(database).found()


@pytest_asyncio.fixture
async def filled(house: House, other: House) -> House:
    for name in NAMES:
        await house.run("createCustomer", name=name)
    await other.run("createCustomer", name="Demo Hotel")
    return house


async def contents(url: str) -> Contents:
    database = Database(url)
    async with database.reading(ACROSS) as session:
        rows = {name: await session.execute(select(table)) for name, table in Base.metadata.tables.items()}
        found = {name: sorted(map(repr, result)) for name, result in rows.items()}
    await database.close()
    return found


async def heads(url: str) -> dict[UUID, tuple[UUID, int]]:
    database = Database(url)
    async with database.reading(ACROSS) as session:
        found = await session.execute(select(Head.organisation_id, Head.epoch, Head.seq))
    await database.close()
    return {organisation: (epoch, seq) for organisation, epoch, seq in found}


def counted(found: Contents) -> str:
    """Return the row count as the commands print it; the revision table adds one row."""
    rows = sum(map(len, found.values())) + 1
    return f"{len(found['organisation']):,} organisations, {rows:,} rows in {len(found) + 1} tables"


def nothing_left(directory: Path) -> bool:
    return not list(directory.glob("*.part*"))


def tables(url: str) -> int:
    """Return the number of tables; 0, without creating it, for a missing SQLite database."""
    if url.startswith("sqlite"):
        return 0 if not Path(url.removeprefix("sqlite:///")).exists() else 1
    with psycopg.connect(libpq(url)) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        return int(found.fetchall()[0][0])


@pytest.fixture
def saved(tournee: Terminal, tools: Path, house: House, tmp_path: Path) -> Path:
    """Return a backup of the module's database."""
    file = tmp_path / "backup.zip"
    done = tournee("backup", str(file))
    assert (done.code, done.error) == (0, "")
    return file


async def test_every_row_is_restored_under_a_new_epoch(
    tournee: Terminal, elsewhere: Terminal, tools: Path, filled: House, tmp_path: Path
) -> None:
    file = tmp_path / "backup.zip"
    before, were = await contents(tournee.url), await heads(tournee.url)
    done = await asyncio.to_thread(tournee, "backup", str(file))
    assert (done.code, done.error) == (0, "")
    assert done.out.startswith(f"Saved {counted(before)} to {file} (")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    done = await asyncio.to_thread(elsewhere, "restore", str(file))
    assert (done.code, done.error) == (0, "")
    assert done.out.startswith(f"Restored {counted(before)}, as of {now():%Y-%m-%d} ")
    assert f"A new epoch has begun for {len(were)} organisations." in done.out
    after, are = await contents(elsewhere.url), await heads(elsewhere.url)
    for table in before.keys() - ANEW:
        assert after[table] == before[table], table
    assert are.keys() == were.keys()
    assert all(are[one][0] != were[one][0] and are[one][1] > were[one][1] for one in were)
    assert nothing_left(tmp_path)
    migrate.check(elsewhere.url)


async def test_a_restored_database_works_and_keeps_organisations_apart(
    elsewhere: Terminal, filled: House, other: House, saved: Path
) -> None:
    customer = await filled.run("createCustomer", name="Not in the backup")
    assert (await asyncio.to_thread(elsewhere, "restore", str(saved))).code == 0
    database = Database(elsewhere.url)
    for known, names in ((filled, set(NAMES)), (other, {"Demo Hotel"})):
        house = House(database)
        house.organisation_id = known.organisation_id
        async with house.reading() as session:
            assert set(await session.scalars(select(Customer.name))) == names
            if not database.is_sqlite:
                everything = await ask_driver(session, "SELECT name FROM customer")
                assert {name for (name,) in await everything.fetchall()} == names
        made = await house.run("createCustomer", name="After the backup")
        assert (await house.changes(made.id))[0].seq > 10**15
        with pytest.raises(NotFound):
            await house.run("updateCustomer", customerId=customer.id, name="Lost")
    if not database.is_sqlite:
        async with database.reading(ACROSS) as session:
            forced = "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity"
            assert set(await session.scalars(text(forced))) == set(Base.metadata.tables)
    await database.close()


async def test_a_backup_of_an_older_version_is_migrated(
    elsewhere: Terminal, empty_url: str, tools: Path, tmp_path: Path
) -> None:
    file, organisation = tmp_path / "backup.zip", uuid4()
    migrate.upgrade(empty_url, "0014")
    database = Database(empty_url)
    async with database.writing(ACROSS) as session:
        values = {"id": organisation, "name": "Old", "created_at": now()}
        # The table of then, without the columns that came later.
        kinds = Organisation.__table__.c
        of_then = TableClause("organisation", *(column(name, kinds[name].type) for name in values))
        await session.execute(of_then.insert().values(**values))
        head = {"organisation_id": organisation, "epoch": uuid4(), "seq": 1, "floor": 0}
        await session.execute(Head.__table__.insert().values(**head))
        await session.commit()
    await database.close()
    assert (await asyncio.to_thread(elsewhere, "backup", str(file))).code == 0
    done = await asyncio.to_thread(elsewhere, "restore", str(file), "--replace")
    assert (done.code, done.error) == (0, "")
    migrate.check(empty_url)
    assert (await contents(empty_url))["organisation"][0].startswith(f"(UUID('{organisation}')")


def add_organisation(url: str) -> None:
    """Add and commit an organisation as another process would."""
    values = f"'{uuid4().hex}', 'Added meanwhile', '{now():%Y-%m-%d %H:%M:%S}'"
    statement = f"INSERT INTO organisation (id, name, created_at) VALUES ({values})"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
            connection.execute(statement)
    else:
        superuser = make_url(url).set(username="postgres").render_as_string(hide_password=False)
        with psycopg.connect(libpq(superuser), autocommit=True) as connection:
            connection.execute(statement.encode())


def test_rows_are_counted_and_saved_in_one_snapshot(
    tournee: Terminal, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, counting = (sqlite, "_count") if tournee.url.startswith("sqlite") else (postgresql, "_manifest")
    count = getattr(kind, counting)

    def counted_before_others_write(*given: Any) -> Any:
        found = count(*given)
        add_organisation(tournee.url)
        return found

    monkeypatch.setattr(kind, counting, counted_before_others_write)
    done = tournee("backup", str(tmp_path / "backup.zip"))
    assert (done.code, done.error) == (0, "")


@pytest.fixture
def untouched(elsewhere: Terminal, empty_url: str) -> Callable[[Path], str]:
    """Run a restore that is refused and changes nothing; return its one line."""

    def refused(file: Path) -> str:
        line = elsewhere.refused("restore", str(file))
        assert tables(empty_url) == 0
        assert nothing_left(file.parent)
        return line

    return refused


def test_a_file_that_is_not_a_backup_is_refused_in_one_line(
    untouched: Callable[[Path], str], tmp_path: Path, database_url: str
) -> None:
    assert untouched(tmp_path / "missing") == f"{tmp_path}/missing does not exist."
    assert untouched(tmp_path) == f"{tmp_path} is a folder, not a file."
    assert untouched(Path(os.devnull)) == f"{os.devnull} is a device, not a file."
    said = {
        b"": "is empty.",
        b"customer;name\n": "is not a backup made by `tournee backup`.",
        b"PK\x03\x04" + bytes(400): "is damaged or incomplete: File is not a zip file",
        b"PGDMP"
        + bytes(400): "was made by pg_dump: restore it with pg_restore, then run `tournee restored`.",
        b"SQLite format 3\x00" + bytes(400): (
            "is a SQLite database: copy it to where DATABASE_URL says, then run `tournee restored`."
        ),
    }
    for content, line in said.items():
        (tmp_path / "file").write_bytes(content)
        assert untouched(tmp_path / "file") == f"{tmp_path}/file {line}"
    with ZipFile(tmp_path / "file", "w") as archive:
        archive.writestr("holiday.jpg", b"...")
    assert untouched(tmp_path / "file").endswith("is not a backup made by `tournee backup`.")


def test_a_damaged_backup_is_refused_wherever_the_damage_is(
    untouched: Callable[[Path], str], saved: Path, tmp_path: Path
) -> None:
    whole, file = saved.read_bytes(), tmp_path / "damaged.zip"
    for part in (0.01, 0.3, 0.6, 0.999):
        cut = int(len(whole) * part)
        file.write_bytes(whole[:cut])
        assert untouched(file).startswith(f"{file} is damaged or incomplete: ")
    for part in (0.1, 0.5, 0.9):
        at = int(len(whole) * part)
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        untouched(file)


@contextmanager
def changed(file: Path, **values: Any) -> Iterator[None]:
    """Change values of the manifest inside the block."""
    with ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"]) | values
    with ZipFile(file, "w") as archive:
        for name, content in (members | {"manifest.json": json.dumps(manifest).encode()}).items():
            archive.writestr(name, content)
    yield
    with ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_backup_that_does_not_match_is_refused(
    untouched: Callable[[Path], str], tournee: Terminal, saved: Path
) -> None:
    with ZipFile(saved) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    rows = manifest["tables"]
    more, fewer = rows | {"customer": rows["customer"] + 1}, {**rows}
    del fewer["customer"]
    with changed(saved, tables=more):
        line = untouched(saved)
    wanted, there = rows["customer"] + 1, rows["customer"]
    assert line == f"The rows of customer do not match: {wanted} were expected, {there} were found."
    with changed(saved, tables=rows | {"invented": 3}):
        assert untouched(saved).startswith("The rows of invented do not match: 3 ")
    with changed(saved, revision="9999", server="7.0"):
        assert untouched(saved).endswith("was made by a newer server, 7.0: restore it with that version.")
    with changed(saved, format=2):
        assert untouched(saved).endswith("was made by another version of `tournee backup`.")
    kinds = {"sqlite": "postgresql", "postgresql": "sqlite"}
    with ZipFile(saved, "a") as archive:
        archive.writestr("tournee.db" if manifest["kind"] == "postgresql" else "tournee.dump", b"")
    with changed(saved, kind=kinds[manifest["kind"]]):
        named = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
        of, to = named[kinds[manifest["kind"]]], named[manifest["kind"]]
        assert untouched(saved) == f"{saved} is a backup of {of}, but DATABASE_URL names {to}."


@pytest.mark.prove_on("postgresql", "It replaces all data several times.")
async def test_data_is_replaced_only_on_request_and_never_under_a_running_server(
    elsewhere: Terminal, empty_url: str, filled: House, saved: Path
) -> None:
    assert (await asyncio.to_thread(elsewhere, "migrate")).code == 0
    # An unused server has no data to lose.
    assert (await asyncio.to_thread(elsewhere, "restore", str(saved))).code == 0
    first = await contents(empty_url)
    line = await asyncio.to_thread(elsewhere.refused, "restore", str(saved))
    assert line.endswith("holds data: to replace all of it by the backup, add --replace.")
    database = Database(empty_url)
    async with database.reading(filled.organisation_id) as session:
        await session.execute(text("SELECT 1"))
    line = await asyncio.to_thread(elsewhere.refused, "restore", str(saved), "--replace")
    assert "is in use: stop the server first" in line
    await database.close()
    assert await contents(empty_url) == first
    database = Database(empty_url)
    house = House(database)
    house.organisation_id = filled.organisation_id
    await house.run("createCustomer", name="Not in the backup")
    await database.close()
    assert (await asyncio.to_thread(elsewhere, "restore", str(saved), "--replace")).code == 0
    assert (await contents(empty_url))["customer"] == first["customer"]


def test_an_existing_file_is_never_overwritten(
    tournee: Terminal, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.zip"
    file.write_text("precious")
    assert tournee.refused("backup", str(file)) == f"{file} already exists: name a new file."
    # A file that appears while the backup is made.
    monkeypatch.setattr("os.path.lexists", lambda _: False)
    assert tournee.refused("backup", str(file)) == f"{file} already exists."
    assert file.read_text() == "precious"
    nowhere = tmp_path / "nowhere" / "backup.zip"
    line = tournee.refused("backup", str(nowhere))
    assert line == f"{nowhere} cannot be written: No such file or directory."
    assert nothing_left(tmp_path)


def test_a_database_without_the_projects_tables_is_not_backed_up(
    elsewhere: Terminal, tools: Path, tmp_path: Path
) -> None:
    file = str(tmp_path / "backup.zip")
    line = elsewhere.refused("backup", file)
    assert line.startswith(("DATABASE_URL: there is no database at ", "DATABASE_URL: the database has no "))
    if elsewhere.url.startswith("sqlite"):
        Path(elsewhere.url.removeprefix("sqlite:///")).touch()
        assert elsewhere.refused("backup", file).endswith(
            "has no tables of Tournée: there is nothing to save."
        )
        Path(elsewhere.url.removeprefix("sqlite:///")).write_text("customer;name\n" * 100)
        assert elsewhere.refused("backup", file) == "DATABASE_URL: file is not a database"


def test_a_full_disk_is_reported_in_one_line_and_leaves_no_file(
    tournee: Terminal, elsewhere: Terminal, saved: Path, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        line = tournee.refused("backup", str(tmp_path / "second.zip"))
        if elsewhere.url.startswith("sqlite"):
            elsewhere.refused("restore", str(saved))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in line or "disk" in line
    assert not (tmp_path / "second.zip").exists()
    assert nothing_left(tmp_path)
    assert elsewhere("restore", str(saved)).code == 0


KILLED = """
import os, signal, sys
from tournee.backups import {module}
{module}.{function} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from tournee.cli import main
main()
"""


def killed(url: str, at: str, *arguments: str) -> None:
    """Run the command line and kill it where it would call that function."""
    module, function = at.split(".")
    program = KILLED.format(module=module, function=function)
    environment = os.environ | {"DATABASE_URL": url}
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, check=False, timeout=90
    )
    assert ran.returncode == -signal.SIGKILL


@pytest.mark.slow("Four processes start, and two are killed.")
@pytest.mark.prove_on("postgresql", "Four processes start, and two are killed.")
def test_a_killed_backup_or_restore_can_be_repeated(
    tournee: Terminal, elsewhere: Terminal, saved: Path, tmp_path: Path, empty_url: str
) -> None:
    """Each is killed when everything is written and only the last step is missing."""
    on_sqlite = empty_url.startswith("sqlite")
    if on_sqlite:
        # PostgreSQL runs the same lines.
        file = tmp_path / "second.zip"
        killed(tournee.url, "files.appear", "backup", str(file))
        assert not file.exists()
        assert tournee("backup", str(file)).code == 0
    killed(empty_url, "files.appear" if on_sqlite else "postgresql.begin_anew_in", "restore", str(saved))
    assert tables(empty_url) == 0
    assert elsewhere("restore", str(saved)).code == 0
