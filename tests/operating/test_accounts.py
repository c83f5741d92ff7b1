"""Organisations and accounts from the command line."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from tests.operating.terminal import Terminal

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


@pytest.fixture
def name() -> str:
    return f"Demo Service {uuid4()}"


@pytest.fixture
def email() -> str:
    return f"{uuid4()}@demo.example"


def shown(out: str) -> str:
    """Return the password that a command printed once."""
    (password,) = re.findall(r"signs in with the password (\S+)", out)
    return str(password)


async def aside(terminal: Terminal, *arguments: str, stdin: str | None = None) -> str:
    """Run a command while the server runs on this loop, and return its output."""
    said = await asyncio.to_thread(terminal, *arguments, stdin=stdin)
    assert (said.code, said.error) == (0, ""), said
    return said.out


async def sign_in(client: httpx2.AsyncClient, email: str, password: str, **more: str) -> httpx2.Response:
    form = {"grant_type": "password", "username": email, "password": password, **more}
    return await client.post("/auth/token", data=form)


async def ask(client: httpx2.AsyncClient, token: str, query: str) -> dict:
    answer = await client.post(
        "/graphql", json={"query": query}, headers={"Authorization": f"Bearer {token}"}
    )
    return answer.json()["data"]


async def test_a_first_manager_and_technician_sign_in_while_the_server_runs(
    tournee: Terminal, client: httpx2.AsyncClient, name: str, email: str
) -> None:
    out = await aside(tournee, "organisation", "add", name, "--manager", email, "--manager-name", "Demo Boss")
    manager = await sign_in(client, email, shown(out))
    assert manager.status_code == 200, manager.text
    out = await aside(
        tournee, "account", "add", "t-" + email, "--role", "technician", "--name", "Demo Hand",
        "--organisation", name,
    )  # fmt: skip
    technician = await sign_in(client, "t-" + email, shown(out), device=str(uuid4()))
    assert technician.status_code == 200, technician.text
    query = "{ me { accountId role organisation { name } } technicians { nodes { name accountId } } }"
    seen = await ask(client, technician.json()["access_token"], query)
    own = seen["me"].pop("accountId")
    assert seen["me"] == {"role": "TECHNICIAN", "organisation": {"name": name}}
    assert seen["technicians"]["nodes"] == [{"name": "Demo Hand", "accountId": own}]


async def test_the_log_names_the_operator(
    tournee: Terminal, client: httpx2.AsyncClient, name: str, email: str
) -> None:
    out = await aside(tournee, "organisation", "add", name, "--manager", email)
    token = (await sign_in(client, email, shown(out))).json()["access_token"]
    seen = await ask(client, token, "{ changes(first: 10) { nodes { command actorName entity } } }")
    made = [(one["command"], one["entity"], one["actorName"]) for one in seen["changes"]["nodes"]]
    assert ("createAccount", "Account", "Operator") in made


async def test_a_new_password_ends_the_accounts_sessions(
    tournee: Terminal, client: httpx2.AsyncClient, name: str, email: str
) -> None:
    lost = shown(await aside(tournee, "organisation", "add", name, "--manager", email))
    signed_in = await sign_in(client, email, lost)
    out = await aside(tournee, "account", "password", email)
    assert (await sign_in(client, email, lost)).json()["error"] == "invalid_grant"
    assert (await sign_in(client, email, shown(out))).status_code == 200
    renewal = {"grant_type": "refresh_token", "refresh_token": signed_in.json()["refresh_token"]}
    renewed = await client.post("/auth/token", data=renewal)
    assert (renewed.status_code, renewed.json()["error"]) == (400, "invalid_grant")


async def test_a_password_from_stdin_is_not_printed(
    tournee: Terminal, client: httpx2.AsyncClient, name: str, email: str
) -> None:
    chosen = "a password of my own"
    add = ("organisation", "add", name, "--manager", email, "--password-stdin")
    out = await aside(tournee, *add, stdin=f"{chosen}\n")
    assert "password" not in out
    assert (await sign_in(client, email, chosen)).status_code == 200
    out = await aside(tournee, "account", "password", email, "--password-stdin", stdin="another one\r\n")
    assert "another" not in out
    assert (await sign_in(client, email, "another one")).status_code == 200


async def test_a_disabled_account_is_refused_until_enabled(
    tournee: Terminal, client: httpx2.AsyncClient, name: str, email: str
) -> None:
    password = shown(await aside(tournee, "organisation", "add", name, "--manager", email))
    await aside(tournee, "account", "disable", email)
    assert (await sign_in(client, email, password)).json()["error"] == "invalid_grant"
    out = await aside(tournee, "account", "password", email)
    assert f"tournee account enable {email}" in out
    await aside(tournee, "account", "enable", email)
    assert (await sign_in(client, email, shown(out))).status_code == 200


def test_lists_show_every_organisation_and_account_once(tournee: Terminal, name: str, email: str) -> None:
    tournee("organisation", "add", name, "--manager", email, "--manager-name", "Demo Boss")
    organisations = [line.split("  ") for line in tournee("organisation", "list").out.splitlines()]
    ((id, _),) = [(one[0], one[1]) for one in organisations if one[2] == name]
    tournee("account", "add", "a-" + email, "--role", "AUDITOR", "--organisation", id)
    tournee("account", "disable", "a-" + email)
    listed = [
        re.split(" {2,}", line)
        for line in tournee("account", "list", "--organisation", name).out.splitlines()
    ]
    assert sorted(listed) == sorted(
        [
            ["a-" + email, "AUDITOR", "DISABLED", name, "a-" + email.partition("@")[0]],
            [email, "MANAGER", "ACTIVE", name, "Demo Boss"],
        ]
    )
    assert email in tournee("account", "list").out


def test_a_refusal_is_one_line_and_writes_nothing(tournee: Terminal, name: str, email: str) -> None:
    add = ("organisation", "add")
    assert tournee.refused(*add, name, "--manager", "nobody").startswith("email: ")
    short = tournee.refused(*add, name, "--manager", email, "--password-stdin", stdin="short\n")
    assert short.startswith("password: ")
    empty = tournee.refused(*add, name, "--manager", email, "--password-stdin", stdin="")
    assert empty.startswith("--password-stdin: ")
    assert tournee.refused(*add, "  ", "--manager", email).startswith("NAME: ")
    assert tournee.refused(*add, "x" * 201, "--manager", email).startswith("NAME: ")
    assert name not in tournee("organisation", "list").out
    assert tournee(*add, name, "--manager", email).code == 0
    assert "already" in tournee.refused(*add, name, "--manager", "other-" + email)
    assert tournee(*add, name + " too", "--manager", "too-" + email).code == 0
    several = tournee.refused("account", "add", "new-" + email, "--role", "AUDITOR")
    assert name in several
    assert "--organisation" in several
    assert "no@where.example" in tournee.refused("account", "password", "no@where.example")
    other = tournee.refused("account", "disable", email, "--organisation", name + " too")
    assert email in other
    assert name + " too" in other
    portal = tournee.refused(
        "account", "add", "p-" + email, "--role", "CUSTOMER_PORTAL", "--organisation", name
    )
    assert portal.startswith("customerId: ")
    tournee("account", "disable", email)
    assert tournee.refused("account", "disable", email)


def test_a_missing_database_is_not_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, f"sqlite:///{tmp_path}/none.db")
    line = terminal.refused("organisation", "list")
    assert line.startswith("DATABASE_URL: ")
    assert "tournee migrate" in line
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_another_version_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.db").touch()
    terminal = Terminal(monkeypatch, f"sqlite:///{tmp_path}/empty.db")
    line = terminal.refused("organisation", "list")
    assert line.startswith("DATABASE_URL: ")
    assert "tournee migrate" in line


def test_an_unreachable_database_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, "postgresql://tournee@127.0.0.1:1/tournee")
    assert terminal.refused("organisation", "list").startswith("DATABASE_URL: the database cannot be opened")
