"""The demo organisation and its pages."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select
from starlette.applications import Starlette

from tests import migrate
from tournee import demo
from tournee.app import create_app
from tournee.catalogue import MEMBERSHIPS
from tournee.kernel.command import Kernel
from tournee.kernel.database import Database, Organisation
from tournee.kernel.demo import demo_id
from tournee.kernel.engines import ACROSS
from tournee.kernel.log import Change
from tournee.settings import Settings

TODAY = date(2026, 11, 23)


@pytest.fixture
def kernel(database: Database) -> Kernel:
    return Kernel(database, MEMBERSHIPS)


async def count(kernel: Kernel, model: type[Organisation | Change]) -> int:
    async with kernel.database.reading(ACROSS) as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


async def test_a_seeding_that_breaks_leaves_nothing_and_the_next_one_is_whole_quick_and_the_last(
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
        form = {"grant_type": "password", "username": email, "password": demo.PASSWORD}
        assert (await client.post("/auth/token", data=form)).status_code == 200


async def test_the_portal_sees_its_customer_and_no_other(kernel: Kernel, client: httpx2.AsyncClient) -> None:
    await demo.seed(kernel, TODAY)
    form = {"grant_type": "password", "username": "portal@demo.example", "password": demo.PASSWORD}
    token = (await client.post("/auth/token", data=form)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = await client.post("/graphql", json={"query": "{ customers { nodes { id } } }"}, headers=headers)
    assert answer.json()["data"]["customers"]["nodes"] == [{"id": str(demo_id("customer/1"))}]


def served(tmp_path: Path, **changed: object) -> Starlette:
    settings = {"database_url": f"sqlite:///{tmp_path}/demo.db", "directory": tmp_path, "demo": True}
    return create_app(Settings(**settings | changed))  # type: ignore[arg-type]


async def get(app: Starlette, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
        return await client.get(path, headers={"Accept": "text/html"})


async def test_the_pages_name_every_account_and_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path}/demo.db")
    app = served(tmp_path)
    for path in ("/", "/graphql"):
        page = await get(app, path)
        assert page.status_code == 200
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert all(email in page.text for email in demo.emails())
        assert "//" not in page.text.replace("</", "")
        for part in page.text.split('"'):
            if part.startswith("/assets/"):
                assert (await get(app, part)).status_code == 200


@pytest.mark.parametrize("changed", [{"demo": False}, {"host": "0.0.0.0"}, {"host": "demo.example"}], ids=str)
async def test_there_are_no_demo_pages_without_the_demo_or_beyond_this_machine(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    app = served(tmp_path, **changed)
    assert (await get(app, "/")).status_code == 404
    assert (await get(app, "/graphql")).status_code == 401
