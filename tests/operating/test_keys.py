"""`tournee keys`, a start with a wrong TOURNEE_SECRET_KEY, and what a backup holds of the keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from tests.operating.terminal import Terminal
from tournee.auth.keys.models import ServerKey
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS

OLD, NEW = "o" * 32, "n" * 32


def rows(url: str) -> list[ServerKey]:
    async def read() -> list[ServerKey]:
        database = Database(url)
        async with database.reading(ACROSS) as session:
            found = list(await session.scalars(select(ServerKey)))
        await database.close()
        return found

    return asyncio.run(read())


@pytest.fixture(autouse=True)
def _no_keys(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TOURNEE_DIRECTORY", str(tmp_path))
    yield

    async def clear() -> None:
        database = Database(database_url)
        async with database.writing(ACROSS) as session:
            await session.execute(delete(ServerKey))
            await session.commit()
        await database.close()

    asyncio.run(clear())


def test_keys_are_listed_rotated_and_replaced(tournee: Terminal) -> None:
    first = tournee("keys", "list").out.splitlines()
    assert [line.split()[1:3] for line in first] == [["signs", "cursors"], ["signs", "tokens"]]
    assert tournee("keys", "rotate").out.split()[1:3] == ["signs", "tokens"]
    assert tournee("keys", "rotate", "--cursors").out.split()[1:3] == ["signs", "cursors"]
    listed = tournee("keys", "list").out.splitlines()
    assert [", ends " in line for line in listed] == [True, False, True, False]
    assert len(tournee("keys", "replace").out.splitlines()) == 2
    assert not {line.split()[0] for line in listed} & {row.id for row in rows(tournee.url)}


def test_a_wrong_or_missing_secret_key_is_one_line(
    tournee: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("TOURNEE_SECRET_KEY", OLD)
    assert tournee("keys", "rotate").code == 0
    assert {row.sealed_by for row in rows(tournee.url)} != {None}
    for wrong, why in ((NEW, "this did not encrypt"), ("", "are encrypted")):
        monkeypatch.setenv("TOURNEE_SECRET_KEY", wrong)
        for command in (["run"], ["keys", "list"], ["keys", "rotate"]):
            line = tournee.refused(*command)
            assert line.startswith("TOURNEE_SECRET_KEY: ")
            assert why in line
    assert tournee("keys", "replace").code == 0
    assert tournee("keys", "list").code == 0


@pytest.mark.usefixtures("tools")
def test_a_backup_holds_keys_only_if_they_are_encrypted(
    tournee: Terminal, elsewhere: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tournee("keys", "list").code == 0
    plain = [row.secret for row in rows(tournee.url)]
    file = tmp_path / "plain.zip"
    assert tournee("backup", str(file)).code == 0
    done = elsewhere("restore", str(file))
    assert (done.code, done.error) == (0, "")
    assert rows(elsewhere.url) == []
    if elsewhere.url.startswith("sqlite"):
        content = Path(elsewhere.url.removeprefix("sqlite:///")).read_bytes()
        assert not any(secret in content for secret in plain)
    monkeypatch.setenv("TOURNEE_SECRET_KEY", OLD)
    listed = tournee("keys", "list").out
    file = tmp_path / "sealed.zip"
    assert tournee("backup", str(file)).code == 0
    assert elsewhere("restore", str(file), "--replace").code == 0
    assert elsewhere("keys", "list").out == listed
