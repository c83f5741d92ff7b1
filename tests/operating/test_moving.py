"""One organisation moves to another database, and its devices go on there."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zipfile import ZipFile

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import insert, select

from tests.operating.terminal import Said, Terminal
from tests.support.demo import demo_house
from tests.support.house import House
from tests.support.postgres import create_database, drop_database
from tests.support.serving import listening
from tournee.app import create_app
from tournee.backups import rows
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import Organisation, new_id, now
from tournee.kernel.outages import OrganisationFrozen
from tournee.settings import Settings

PASSWORD = "a long password"


@pytest.fixture
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Return the URLs of two migrated databases, of the kinds that the test asks for."""
    with ExitStack() as stack:
        yield tuple(_made(request, tmp_path, stack, n, kind) for n, kind in enumerate(request.param))  # type: ignore[misc]


def _made(request: pytest.FixtureRequest, folder: Path, stack: ExitStack, n: int, kind: str) -> str:
    if kind == "sqlite":
        file = folder / f"{n}.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        return f"sqlite:///{file}"
    template: str = request.getfixturevalue("postgres_template")
    server: str = request.getfixturevalue("postgres_url")
    stack.callback(drop_database, server, f"moving_{n}")
    return create_database(server, f"moving_{n}", template)


@dataclass
class Device:
    """A device with its tokens, its cursor and what it holds."""

    id: str = field(default_factory=lambda: str(new_id()))
    client: httpx2.AsyncClient | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    cursor: str | None = None
    rows: dict[str, Any] = field(default_factory=dict)
    number: int = 0

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        assert self.client is not None
        token = self.tokens.get("access_token")
        headers = {"Authorization": f"Bearer {token}"} if token and not path.startswith("/auth") else {}
        return await self.client.request(method, path, headers=headers, **more)

    async def sign_in(self, email: str) -> None:
        form = {"grant_type": "password", "username": email, "password": PASSWORD, "device": self.id}
        answer = await self.ask("POST", "/auth/token", data=form)
        assert answer.status_code == 200, answer.text
        self.tokens = answer.json()

    async def renew(self) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]}
        answer = await self.ask("POST", "/auth/token", data=form)
        if answer.status_code == 200:
            self.tokens = answer.json()
        return answer

    def operation(self, command: str, **input: Any) -> dict[str, Any]:
        self.number += 1
        made = {"id": str(new_id()), "number": self.number, "command": command, "base": 0}
        return made | {"input": {"id": str(new_id())} | input, "occurredAt": now().isoformat()}

    async def send(self, *operations: Any) -> httpx2.Response:
        body = {"device": self.id, "app": "demo/1", "schema": 1, "operations": operations}
        return await self.ask("POST", "/sync/push", json=body)

    async def push(self, *operations: Any) -> list[str]:
        answer = await self.send(*operations)
        assert answer.status_code == 200, answer.text
        return [one["status"] for one in answer.json()["outcomes"]]

    async def pull(self) -> None:
        """Pull all that changed; the server must know the cursor."""
        more = True
        while more:
            given = {"device": self.id} | ({"cursor": self.cursor} if self.cursor else {})
            answer = await self.ask("GET", "/sync/pull", params=given)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert not page["resync"]
            for change in page["changes"]:
                self.rows.pop(change["id"], None)
                if not change.get("removed"):
                    self.rows[change["id"]] = change["record"]
            self.cursor, more = page["cursor"], page["more"]

    async def fresh(self) -> dict[str, Any]:
        """Return what a new copy of the same person would hold."""
        other = Device(self.id, self.client, self.tokens)
        await other.pull()
        return other.rows

    async def checksums(self) -> Any:
        answer = await self.ask("GET", "/sync/checksums", params={"cursor": self.cursor})
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class Place:
    """A server on its own database."""

    database: Database
    host: str
    app: Any


@asynccontextmanager
async def place(url: str, folder: Path) -> AsyncIterator[Place]:
    settings = Settings(database_url=url, directory=folder, secret_key=(secret_of(folder),))
    app = create_app(settings)
    database = Database(url)
    async with app.router.lifespan_context(app), listening(app) as host:
        yield Place(database, host, app)
    await database.close()


@pytest_asyncio.fixture
async def places(
    urls: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Place, Place]]:
    """Serve both databases, each with its own keys."""
    # Both look for new keys as soon as they meet an unknown one.
    monkeypatch.setattr("tournee.auth.keys.ring.LEARN_SECONDS", 0)
    async with AsyncExitStack() as stack:
        made = []
        for n, url in enumerate(urls):
            (tmp_path / str(n)).mkdir()
            made.append(await stack.enter_async_context(place(url, tmp_path / str(n))))
        yield made[0], made[1]


def secret_of(folder: Path) -> str:
    """Return a secret key; each server has another."""
    return "x" * 31 + folder.name


async def people(database: Database) -> tuple[House, str]:
    """Found an organisation with a dispatcher who signs in by this e-mail."""
    house = await House(database).found()
    email = f"{house.organisation_id}@demo.example"
    await house.account("DISPATCHER", email=email, password=PASSWORD)
    await house.run("createCustomer", name="Demo Bakery")
    return house, email


async def contents(database: Database, organisation_id: UUID) -> dict[str, list[bytes]]:
    """Return all rows of the organisation, by table."""
    found = {}
    async with database.reading(organisation_id) as session:
        connection = await session.connection()
        for table in rows.TABLES:
            portions = [one async for one in rows.lines(connection, table, organisation_id)]
            found[table.name] = sorted(b"".join(portions).splitlines())
    return found


MORE = pytest.mark.prove("Each kind is left and reached by another case.")
KINDS = [
    ("sqlite", "postgresql"),
    ("postgresql", "sqlite"),
    pytest.param(("sqlite", "sqlite"), marks=MORE),
    pytest.param(("postgresql", "postgresql"), marks=MORE),
]
SLOW = pytest.mark.slow("Two servers start, and an organisation moves from one to the other.")


@dataclass
class Move:
    """An organisation with a device on its way from one server to another."""

    places: tuple[Place, Place]
    folder: Path
    patch: pytest.MonkeyPatch
    house: House
    email: str
    device: Device = field(default_factory=Device)
    sent: list[Any] = field(default_factory=list)
    queue: list[Any] = field(default_factory=list)
    sums: Any = None

    @property
    def file(self) -> Path:
        return self.folder / "moved"

    async def tournee(self, n: int, *arguments: str) -> Said:
        """Run the command line with the settings of one server."""
        url, folder = self.places[n].database.url, self.folder / str(n)
        self.patch.setenv("TOURNEE_DIRECTORY", str(folder))
        self.patch.setenv("TOURNEE_SECRET_KEY", secret_of(folder))
        return await asyncio.to_thread(Terminal(self.patch, url), *arguments)

    async def begin(self, client: httpx2.AsyncClient) -> None:
        """Let the device work at the first server. One of its operations waits for a record."""
        device = self.device
        device.client = client
        await device.sign_in(self.email)
        await device.pull()
        first = device.operation("createCustomer", name="Demo Butcher")
        parent = device.operation("createCustomer", name="Demo Mill")
        device.number -= 1
        child = device.operation("createSite", customerId=parent["input"]["id"], name="Demo wheel")
        parent["number"] = device.number + 1
        device.number += 1
        self.sent = [first, child]
        assert await device.push(*self.sent) == ["applied", "parked"]
        self.queue = [parent, device.operation("createCustomer", name="Demo Cooper")]
        await device.pull()
        self.sums = await device.checksums()

    async def export(self) -> None:
        name = str(self.house.organisation_id)
        said = await self.tournee(0, "export-organisation", name, "--out", str(self.file), "--freeze")
        assert said.code == 0, said
        assert stat.S_IMODE(self.file.stat().st_mode) == 0o600

    async def nothing_changes(self) -> None:
        """At the first server the device may read, and keeps what it has to send."""
        for refused in (await self.device.send(*self.queue), await self.device.renew()):
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ORGANISATION_FROZEN")
            assert int(refused.headers["Retry-After"]) >= 20
        await self.device.pull()
        mutation = 'mutation { createCustomer(input: {name: "Demo"}) { __typename } }'
        assert (
            "ORGANISATION_FROZEN"
            in (await self.device.ask("POST", "/graphql", json={"query": mutation})).text
        )

    async def go_on(self, client: httpx2.AsyncClient) -> None:
        """Let the device continue at the second server with the cursor and the refresh token of the first."""
        device, held = self.device, dict(self.device.rows)
        device.client = client
        assert (await device.ask("GET", "/sync/pull")).status_code == 401
        assert (await device.renew()).status_code == 200
        await device.pull()
        assert device.rows == held
        assert await device.checksums() == self.sums
        assert await device.push(self.sent[0]) == ["duplicate"]
        assert await device.push(*self.queue) == ["applied", "applied"]
        await device.pull()
        names = {row.get("name") for row in device.rows.values()}
        assert {"Demo Butcher", "Demo wheel", "Demo Mill", "Demo Cooper"} <= names
        assert device.rows == await device.fresh()
        assert (await device.renew()).status_code == 200
        await device.sign_in(self.email)


@SLOW
@pytest.mark.parametrize("urls", KINDS, indirect=True, ids="-to-".join)
async def test_a_device_goes_on_where_its_organisation_went(
    places: tuple[Place, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = places
    move = Move(places, tmp_path, monkeypatch, *await people(one.database))
    stays, email = await people(one.database)
    local, _ = await people(two.database)
    bystander = Device()
    async with client_of(one) as client:
        await move.begin(client)
        bystander.client = client
        await bystander.sign_in(email)
        await bystander.pull()
        before = await contents(one.database, stays.organisation_id)
        await move.export()
        await move.nothing_changes()
        after = await contents(one.database, stays.organisation_id)
        # The server notes a while after a pull how far a device has come.
        assert {**after, "device_state": []} == {**before, "device_state": []}
        said = await move.tournee(1, "import-organisation", str(move.file))
        assert said.code == 0, said
        assert await bystander.push(bystander.operation("createCustomer", name="Demo Potter")) == ["applied"]
    async with client_of(two) as client:
        await move.go_on(client)
    async with two.database.reading(ACROSS) as session:
        here = set(await session.scalars(select(Organisation.id)))
    assert here == {move.house.organisation_id, local.organisation_id}


def client_of(server: Place) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=f"http://{server.host}", timeout=30)


@pytest.fixture
def there(tmp_path: Path, sqlite_template: Path) -> Path:
    """Return a second database to import into."""
    return Path(shutil.copy(sqlite_template, tmp_path / "there.db"))


@pytest_asyncio.fixture
async def saved(house: House, tournee: Terminal, tmp_path: Path) -> Path:
    """Return the file of an organisation with the demo's rows and a row of everything else."""
    await demo_house(house)
    await fill_the_rest(house)
    file = tmp_path / "saved"
    said = await asyncio.to_thread(
        tournee, "export-organisation", str(house.organisation_id), "--out", str(file)
    )
    assert said.code == 0, said
    return file


async def fill_the_rest(house: House) -> None:
    """Add a row to each table that has none and refers to nothing."""
    by_type: dict[type, Any] = {
        UUID: new_id(),
        str: "é\n",
        int: 2**31 - 1,
        bytes: b"\0\xff",
        bool: True,
        datetime: now(),
        date: now().date(),
    }
    async with house.writing() as session:
        connection = await session.connection()
        for table in rows.TABLES:
            if await connection.scalar(rows.counting(table, house.organisation_id)) or table.foreign_keys:
                continue
            values = {
                one.name: by_type.get(getattr(one.type, "impl_instance", one.type).python_type)
                for one in table.columns
            }
            await connection.execute(
                insert(table).values(values | {"organisation_id": house.organisation_id})
            )
        await session.commit()


@pytest.mark.slow("The demo's rows are made, saved, read and saved again.")
async def test_every_row_arrives_as_it_was(
    saved: Path, house: House, there: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await contents(house.database, house.organisation_id)
    assert not [table for table, found in before.items() if not found]
    elsewhere = Terminal(monkeypatch, f"sqlite:///{there}")
    said = await asyncio.to_thread(elsewhere, "import-organisation", str(saved))
    assert said.code == 0, said
    moved = Database(f"sqlite:///{there}")
    assert await contents(moved, house.organisation_id) == before
    await moved.close()
    # And back: into a database of the first kind, where nothing has these ids yet.
    again = tmp_path / "again"
    said = await asyncio.to_thread(
        elsewhere, "export-organisation", str(house.organisation_id), "--out", str(again)
    )
    assert said.code == 0, said
    assert member(again) == member(saved)


def member(file: Path) -> list[bytes]:
    """Return the lines of a file but the first, which has the keys of its server."""
    with ZipFile(file) as archive:
        return sorted(archive.read("organisation.jsonl").splitlines()[1:])


def rewritten(file: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Return a copy of the file with its members changed, and their checksums right."""
    copy = file.with_suffix(".changed")
    with ZipFile(file) as old, ZipFile(copy, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return copy


def of_member(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], Path]:
    def changed(name: str, content: bytes) -> bytes:
        return (
            b"".join(change(content.splitlines(keepends=True))) if name == "organisation.jsonl" else content
        )

    return lambda file: rewritten(file, changed)


def of_manifest(**changes: Any) -> Callable[[Path], Path]:
    def changed(name: str, content: bytes) -> bytes:
        return json.dumps(json.loads(content) | changes).encode() if name == "manifest.json" else content

    return lambda file: rewritten(file, changed)


def of_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def make(file: Path) -> Path:
        copy = file.with_suffix(".changed")
        copy.write_bytes(change(file.read_bytes()))
        return copy

    return make


def flipped(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def without_a_customer(lines: list[bytes]) -> list[bytes]:
    """Leave out a row that others refer to, and say so in no count."""
    place = next(n for n, line in enumerate(lines) if line.startswith(b'{"table":"customer"'))
    return lines[: place + 1] + lines[place + 2 :]


def with_a_wrong_value(lines: list[bytes]) -> list[bytes]:
    heading = next(line for line in lines if line.startswith(b'{"table":"head"'))
    return [*lines, heading, b'["no id",1,0,null]\n']


DAMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a flipped bit": (of_bytes(flipped), "is damaged or incomplete"),
    "half of it": (of_bytes(lambda content: content[: len(content) // 2]), "is damaged or incomplete"),
    "nothing": (of_bytes(lambda _: b""), "is empty"),
    "something else": (of_bytes(lambda _: b"PK? No."), "is not a backup"),
    "a row too few": (of_member(without_a_customer), "The rows of customer do not match"),
    "a row too many": (of_member(lambda lines: [*lines, lines[-1]]), ""),
    "a line without end": (of_member(lambda lines: [*lines, b"[1"]), "A line of the file has no end."),
    "no JSON": (of_member(lambda lines: [*lines, b"[1\n"]), "A line of the file is damaged."),
    "a short row": (of_member(lambda lines: [*lines, b"[1]\n"]), "has 1 values instead of"),
    "a wrong value": (of_member(with_a_wrong_value), "A value of head is damaged."),
    "no keys": (of_member(lambda lines: [b"[]\n", *lines[1:]]), "The first line of the file is damaged."),
    "an unknown table": (
        of_member(lambda lines: [*lines, b'{"table":"lease","columns":[]}\n']),
        "lease is not a table",
    ),
    "another schema": (of_manifest(revision="0001"), "run the same version on both sides"),
    "the kind of a database": (of_manifest(kind="sqlite"), "is damaged: it lacks tournee.db"),
    "a newer format": (of_manifest(format=2), "was made by another version"),
}


@pytest.mark.prove_on("postgresql", "The same files on the other database.")
@pytest.mark.slow("The demo's rows are made once, and read by each case.")
async def test_a_damaged_file_leaves_nothing(
    saved: Path, house: House, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{there}"
    elsewhere = Terminal(monkeypatch, url)
    for name, (damaged, why) in DAMAGES.items():
        line = await asyncio.to_thread(elsewhere.refused, "import-organisation", str(damaged(saved)))
        assert why in line, name
        database = Database(url)
        found = await contents(database, house.organisation_id)
        await database.close()
        assert not any(found.values()), name


@pytest.mark.prove_on("postgresql", "The same file on the other database.")
async def test_an_organisation_that_is_there_is_not_imported(
    saved: Path, house: House, tournee: Terminal
) -> None:
    before = await contents(house.database, house.organisation_id)
    line = await asyncio.to_thread(tournee.refused, "import-organisation", str(saved))
    assert (
        line
        == f"This database has the organisation Test ({house.organisation_id}) already; nothing was changed."
    )
    assert await contents(house.database, house.organisation_id) == before


@pytest.mark.prove_on("postgresql", "The same files on the other database.")
async def test_files_of_one_kind_are_not_taken_for_the_other(
    saved: Path, tournee: Terminal, tmp_path: Path, tools: Path
) -> None:
    line = await asyncio.to_thread(tournee.refused, "restore", str(saved))
    assert line == f"{saved} has one organisation: use `tournee import-organisation`."
    backup = tmp_path / "backup"
    assert (await asyncio.to_thread(tournee, "backup", str(backup))).code == 0
    line = await asyncio.to_thread(tournee.refused, "import-organisation", str(backup))
    assert line == f"{backup} is a backup of a whole database: use `tournee restore`."
    name = str(tmp_path / "other")
    line = await asyncio.to_thread(tournee.refused, "export-organisation", "Nobody", "--out", name)
    assert line.startswith("Name one of these")
    line = await asyncio.to_thread(tournee.refused, "export-organisation", "Test", "--out", str(saved))
    assert line == f"{saved} already exists: name a new file." or line.startswith("Name one of these")


async def test_a_frozen_organisation_is_thawed_by_name(house: House, tournee: Terminal) -> None:
    name = str(house.organisation_id)
    for command, said in (
        ("freeze", "is frozen."),
        ("freeze", "was frozen already."),
        ("thaw", "may change again."),
        ("thaw", "was not frozen."),
    ):
        told = await asyncio.to_thread(tournee, "organisation", command, name)
        assert told.out == f"Test ({name}) {said}\n"
        if command == "freeze":
            with pytest.raises(OrganisationFrozen):
                await house.run("createCustomer", name="Demo")
            adding = ("account", "add", "demo@demo.example", "--role", "MANAGER", "--organisation", name)
            line = await asyncio.to_thread(tournee.refused, *adding)
            assert line == OrganisationFrozen.message
    await house.run("createCustomer", name="Demo")
