"""The demo organisation and its pages."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import func, select
from starlette.applications import Starlette

from tests.support import migrate
from tests.support.house import House
from tournee import demo
from tournee.app import create_app
from tournee.assets.models import Asset, Reading
from tournee.catalogue import MEMBERSHIPS
from tournee.cli import serving
from tournee.customers.models import Customer
from tournee.demo import large, rounds
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.command import Kernel
from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH, Conflict
from tournee.kernel.demo import demo_id
from tournee.kernel.entity import Organisation
from tournee.kernel.log import Change
from tournee.people.models import Technician
from tournee.procedures.models import ChecklistRun
from tournee.quality.models import AuditFinding
from tournee.settings import Settings, read_settings
from tournee.sync.conflicts import OPERATION_REJECTED
from tournee.work.facts import VISIT_ON_CANCELED_APPOINTMENT, VISIT_ON_REASSIGNED_APPOINTMENT
from tournee.work.models import Appointment

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

TODAY = date(2026, 11, 23)


@pytest.fixture
def kernel(database: Database) -> Kernel:
    return Kernel(database, MEMBERSHIPS)


async def count(kernel: Kernel, model: type[Organisation | Change]) -> int:
    async with kernel.database.reading(ACROSS) as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


def client_of(app: Starlette) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Return an HTTP client of a demo on this module's database."""
    app = create_app(Settings(database_url=database_url, directory=tmp_path, demo=True))
    async with app.router.lifespan_context(app), client_of(app) as caller:
        yield caller


async def test_a_failed_seeding_leaves_nothing_and_the_next_one_runs_once(
    kernel: Kernel, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("tournee.quality.demo.operations", lambda _today: [("MANAGER", "noSuchCommand", {})])
        with pytest.raises(KeyError):
            await demo.seed(kernel, TODAY)
    assert await count(kernel, Organisation) == 0
    await demo.seed(kernel, TODAY)
    assert await count(kernel, Organisation) == 2
    changes = await count(kernel, Change)
    assert changes > 100
    await demo.seed(kernel, TODAY)
    assert await count(kernel, Change) == changes
    for email in demo.emails():
        assert (await sign_in(client, email)).status_code == 200


async def test_a_portal_account_sees_only_its_customer(kernel: Kernel, client: httpx2.AsyncClient) -> None:
    await demo.seed(kernel, TODAY)
    token = (await sign_in(client, "portal@demo.example")).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = await client.post("/graphql", json={"query": "{ customers { nodes { id } } }"}, headers=headers)
    assert answer.json()["data"]["customers"]["nodes"] == [{"id": str(demo_id("customer/1"))}]


async def sign_in(client: httpx2.AsyncClient, email: str, **more: str) -> httpx2.Response:
    form = {"grant_type": "password", "username": email, "password": demo.PASSWORD, **more}
    return await client.post("/auth/token", data=form)


async def mutate(client: httpx2.AsyncClient, token: str, field: str, **input: Any) -> None:
    kind = f"{field[0].upper()}{field[1:]}Input!"
    document = (
        f"mutation($input: {kind}) {{ {field}(input: $input) {{ __typename ...on Refusal {{code}} }} }}"
    )
    answer = await client.post(
        "/graphql",
        json={"query": document, "variables": {"input": input}},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.json()["data"][field]["__typename"] in ("Account", "Device"), answer.text


@pytest.mark.parametrize("other", [{"demo": False}, {"demo": True, "host": "0.0.0.0"}], ids=str)
async def test_a_server_without_the_demo_refuses_demo_accounts(
    kernel: Kernel, client: httpx2.AsyncClient, database_url: str, tmp_path: Path, other: dict[str, Any]
) -> None:
    """It refuses them by password, refresh token, earlier access token and a revoked device's token."""
    await demo.seed(kernel, TODAY)
    device, password = str(uuid4()), "their own password"
    own = await House(kernel.database).found()
    await own.account("MANAGER", email=f"{device}@own.example", password=password)
    manager = (await sign_in(client, "manager@demo.example")).json()
    email = f"{device}@demo.example"
    account = {"email": email, "name": "Added", "role": "MANAGER", "password": password}
    await mutate(client, manager["access_token"], "createAccount", **account)
    revoked = (await sign_in(client, "technician@demo.example", device=device)).json()
    await mutate(client, manager["access_token"], "revokeDevice", deviceId=device, surrender=True)

    async def outcomes(client: httpx2.AsyncClient) -> list[tuple[int, str | None]]:
        refresh = {"grant_type": "refresh_token", "refresh_token": manager["refresh_token"]}
        surrender = {"Authorization": f"Surrender {revoked['refresh_token']}"}
        push = {"device": device, "app": "test", "schema": 1, "operations": []}
        answers = [
            await client.get("/sync/pull", headers={"Authorization": f"Bearer {manager['access_token']}"}),
            await client.post("/sync/push", json=push, headers=surrender),
            await sign_in(client, "manager@demo.example"),
            await sign_in(client, email, password=password),
            await client.post("/auth/token", data=refresh),
            await client.post("/auth/wiped", data={"refresh_token": revoked["refresh_token"]}),
            await sign_in(client, f"{device}@own.example", password=password),
        ]
        return [(answer.status_code, code_of(answer)) for answer in answers]

    app = create_app(Settings(database_url=database_url, directory=tmp_path, **other))
    async with app.router.lifespan_context(app), client_of(app) as elsewhere:
        told = await outcomes(elsewhere)
    assert told == [
        (401, "TOKEN_INVALID"),
        (401, "UNAUTHENTICATED"),
        *[(400, "invalid_grant")] * 4,
        (200, None),
    ]
    assert {status for status, _ in await outcomes(client)} == {200, 204}


def code_of(answer: httpx2.Response) -> str | None:
    error = answer.json().get("error") if answer.content else None
    return error["code"] if isinstance(error, dict) else error


class Chosen:
    """Returns what `tournee run` derives from an environment."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.names = [str(field.validation_alias) for field in Settings.model_fields.values()]
        for name in self.names:
            # Restored afterwards, whatever is written meanwhile.
            monkeypatch.setenv(name, "")

    def __call__(self, **environment: str) -> Settings:
        os.environ.update(dict.fromkeys(self.names, ""))
        os.environ.update({"TOURNEE_DIRECTORY": str(self.directory), **environment})
        chosen = serving._completed(read_settings())
        # Workers read the environment themselves.
        assert read_settings() == chosen
        return chosen


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sqlite_template: Path) -> Chosen:
    shutil.copy(sqlite_template, tmp_path / "tournee.db")
    return Chosen(tmp_path, monkeypatch)


def test_the_embedded_database_is_a_demo_on_loopback_by_default(chosen: Chosen) -> None:
    assert chosen().is_demo
    assert chosen(TOURNEE_DEMO=" ").is_demo
    assert not chosen(TOURNEE_DEMO="0").is_demo
    assert not chosen(TOURNEE_HOST="0.0.0.0").is_demo
    named = f"sqlite:///{chosen.directory}/tournee.db"
    assert not chosen(DATABASE_URL=named).is_demo
    assert chosen(DATABASE_URL=named, TOURNEE_DEMO="1").is_demo


def test_a_database_with_other_organisations_is_no_demo_by_default(
    chosen: Chosen, capsys: pytest.CaptureFixture[str]
) -> None:
    async def add(*, own: bool) -> None:
        database = Database(f"sqlite:///{chosen.directory}/tournee.db")
        if own:
            await House(database).found()
        else:
            await demo.seed(Kernel(database, MEMBERSHIPS), TODAY)
        await database.close()

    asyncio.run(add(own=False))
    assert chosen().is_demo
    asyncio.run(add(own=True))
    assert capsys.readouterr().err == ""
    assert not chosen().is_demo
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The database holds the demo organisation. Its accounts cannot sign in")
    assert chosen(TOURNEE_DEMO="1").is_demo
    assert capsys.readouterr().err == ""


def test_a_demo_is_refused_on_a_public_address_with_a_warning(
    chosen: Chosen, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not chosen(TOURNEE_DEMO="1", TOURNEE_HOST="0.0.0.0").is_demo
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("TOURNEE_DEMO: ")


def served(tmp_path: Path, **changed: object) -> Starlette:
    settings = {"database_url": f"sqlite:///{tmp_path}/demo.db", "directory": tmp_path, "demo": True}
    return create_app(Settings(**settings | changed))  # type: ignore[arg-type]


async def get(app: Starlette, path: str) -> httpx2.Response:
    async with client_of(app) as client:
        return await client.get(path, headers={"Accept": "text/html"})


async def test_the_demo_pages_list_every_account_and_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path}/demo.db")
    app = served(tmp_path)
    for path in ("/", "/graphql"):
        page = await get(app, path)
        assert page.status_code == 200
        (policy,) = page.headers.get_list("Content-Security-Policy")
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert all(email in page.text for email in demo.emails())
        assert "//" not in page.text.replace("</", "")
        for part in page.text.split('"'):
            if part.startswith("/assets/"):
                assert (await get(app, part)).status_code == 200


@pytest.mark.parametrize("changed", [{"demo": False}, {"host": "0.0.0.0"}, {"host": "demo.example"}], ids=str)
async def test_without_the_demo_the_pages_list_no_account_and_the_editor_requires_a_sign_in(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    app = served(tmp_path, **changed)
    home, editor = await get(app, "/"), await get(app, "/graphql")
    for page in (home, editor):
        assert page.status_code == 200
        assert not any(email in page.text for email in demo.emails())
        assert "data-password" not in page.text
        assert "$" not in page.text
    assert all(name in home.text for name in ('href="/graphql"', "docs/operating.md", "schema/sync.md"))
    assert 'name="password" type="password"' in editor.text
    async with client_of(app) as client:
        answer = await client.post("/graphql", json={"query": "{ me { id } }"})
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")


async def test_the_editor_starts_with_the_clients_operations_and_an_allowed_query(
    kernel: Kernel, client: httpx2.AsyncClient
) -> None:
    await demo.seed(kernel, TODAY)
    begin = (await client.get("/assets/documents.json")).json()
    kept = Path(__file__).parent.parent / "schema" / "operations"
    assert sorted(begin["operations"]) == sorted(file.read_text() for file in kept.glob("*.graphql"))
    for account, role, _ in demo.ACCOUNTS:
        form = {
            "grant_type": "password",
            "username": f"{account}@demo.example",
            "password": demo.PASSWORD,
        }
        token = (await client.post("/auth/token", data=form)).json()["access_token"]
        asked = {"query": begin["starters"][role.value]}
        headers = {"Authorization": f"Bearer {token}"}
        answer = (await client.post("/graphql", json=asked, headers=headers)).json()
        assert "errors" not in answer
        # No list is empty, except those that the small demo lacks.
        empty = [name for name, found in answer["data"].items() if found.get("nodes") == []]
        assert set(empty) <= {"conflicts", "devices"}, (account, empty)


@pytest.mark.parametrize("day", range(7))
def test_the_large_demo_is_reproducible_and_equally_large_every_day(day: int) -> None:
    today = TODAY + timedelta(days=day)
    made = list(large.operations(today))
    assert made == list(large.operations(today))
    counts = Counter(command for _, command, _ in made)
    assert 570 <= counts["createAppointment"] <= 640
    assert counts["completeAppointment"] >= 100
    assert counts["completeChecklistRun"] >= 40
    assert counts["recordReading"] >= 60
    assert counts["addAuditFinding"] + counts["recordPastAudit"] >= 30
    seen = ("Customer", "Site", "Contact", "Technician", "Asset", "WorkOrder", "Audit")
    added = [values for _, command, values in made if command.removeprefix("create") in seen]
    titles = [next(values[key] for key in ("name", "summary", "title") if key in values) for values in added]
    assert all(title.startswith("Demo ") for title in titles)
    ids = [values["id"] for _, _, values in made if "id" in values]
    assert len(ids) == len(set(ids))


@pytest.mark.prove("The full demo takes long.")
async def test_the_large_demo_runs_through_commands_and_leaves_open_conflicts(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a few visits a day, on SQLite only: the full demo takes seconds."""
    monkeypatch.setattr(rounds, "_A_DAY", dict.fromkeys(rounds._A_DAY, 2))
    shutil.copy(sqlite_template, tmp_path / "demo.db")
    database = Database(f"sqlite:///{tmp_path}/demo.db")
    try:
        await demo.seed(Kernel(database, MEMBERSHIPS), TODAY, large=True)
        await demo.seed(Kernel(database, MEMBERSHIPS), TODAY, large=True)
        of_demo = demo_id("organisation/demo")
        async with database.reading(of_demo) as session:

            async def number(model: Any, *conditions: Any) -> int:
                own = select(func.count()).where(model.organisation_id == of_demo, *conditions)
                return await session.scalar(own) or 0

            assert await number(Technician) == 12
            assert await number(Customer) == 150
            assert 390 <= await number(Asset) <= 410
            assert await number(Appointment) == 8 + 3 + 2 * 5 * len(rounds._A_DAY)
            for status, least in (
                ("COMPLETED", 20),
                ("CANCELED", 1),
                ("CANNOT_COMPLETE", 1),
                ("SCHEDULED", 40),
            ):
                assert await number(Appointment, Appointment.status == status) >= least
            assert await number(ChecklistRun, ChecklistRun.status == "COMPLETED") >= 5
            assert await number(Reading, Reading.appointment_id.is_not(None)) >= 10
            assert await number(AuditFinding) >= 40
            kinds = Counter(await session.scalars(select(Conflict.kind)))
        assert kinds == Counter(
            [
                VISIT_ON_CANCELED_APPOINTMENT,
                VISIT_ON_REASSIGNED_APPOINTMENT,
                FIELD_CHANGED_BY_BOTH,
                OPERATION_REJECTED,
            ]
        )
    finally:
        await database.close()
