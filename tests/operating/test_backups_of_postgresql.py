"""A failing or incomplete pg_dump is detected before the backup gets its name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import make_url

from tests.operating.terminal import Terminal
from tests.support.house import House
from tests.support.postgres import libpq

Fake = Callable[..., None]

# Run pg_dump without the setting that names its organisations.
SERVING_NOBODY = """
for argument in "$@"; do
    shift
    case $argument in --dbname=*) argument=$(echo "$argument" | sed 's/=\\*/=/') ;; esac
    set -- "$@" "$argument"
done
exec "$real" "$@"
"""


@pytest.fixture(autouse=True)
def _only_postgresql(database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite needs no pg_dump")


@pytest.fixture
def fake(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a fake tool before PostgreSQL's; its script calls the real one as `real`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name: str, script: str, version: str = 'exec "$real" --version') -> None:
        lines = ["#!/bin/sh", f"real={shlex.quote(str(tools / name))}"]
        lines.append(f'if [ "$1" = --version ]; then {version}; exit; fi')
        (folder / name).write_text("\n".join([*lines, script, ""]))
        (folder / name).chmod(0o755)

    return put


def test_a_missing_or_older_tool_is_named(
    tournee: Terminal, fake: Fake, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "backup.zip")
    fake("pg_dump", "", 'echo "pg_dump (PostgreSQL) 9.6.24"')
    line = tournee.refused("backup", file)
    assert line.startswith(
        f"{tmp_path}/bin/pg_dump has version 9, which is too old: install the client tools"
    )
    fake("pg_dump", "", "exit 1")
    assert "pg_dump does not say its version" in tournee.refused("backup", file)
    fake("pg_dump", 'echo "pg_dump: error: no wish" >&2; exit 1')
    assert tournee.refused("backup", file) == "pg_dump: error: no wish"
    fake("pg_restore", "", 'echo "pg_restore (PostgreSQL) 9.6.24"')
    fake("pg_dump", 'exec "$real" "$@"')
    assert "pg_restore has version 9, which is too old" in tournee.refused("backup", file)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tournee.refused("backup", file).startswith("pg_dump is not on the PATH: install the client tools")
    assert list(tmp_path.iterdir()) == [tmp_path / "bin"]


@pytest_asyncio.fixture
async def filled(house: House) -> None:
    await house.run("createCustomer", name="Demo Bakery")


def test_rows_left_out_by_pg_dump_are_detected(
    tournee: Terminal, fake: Fake, filled: None, tmp_path: Path
) -> None:
    fake("pg_dump", 'exec "$real" --exclude-table-data=customer "$@"')
    said = tournee("backup", str(tmp_path / "backup.zip"))
    assert (said.code, said.out) == (1, "")
    assert said.error.startswith("The rows of customer do not match: ")
    # Without that setting, row-level security shows no rows at all.
    fake("pg_dump", SERVING_NOBODY)
    said = tournee("backup", str(tmp_path / "backup.zip"))
    assert said.error.startswith("The rows of ")
    assert said.error.endswith(" were expected, 0 were found.\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "bin"]


@pytest.fixture
def hiding(database_url: str) -> Iterator[None]:
    """Add a policy that hides rows from the server's role."""
    with psycopg.connect(libpq(database_url), autocommit=True) as connection:
        connection.execute("CREATE POLICY busy ON customer AS RESTRICTIVE USING (name <> 'Demo Bakery')")
        yield
        connection.execute("DROP POLICY busy ON customer")


def test_a_policy_that_hides_rows_from_the_role_is_named(
    tournee: Terminal, tools: Path, hiding: None, tmp_path: Path
) -> None:
    line = tournee.refused("backup", str(tmp_path / "backup.zip"))
    assert line.startswith(
        "Row-level security may hide rows of customer from tournee: make backups as a role with"
    )
    powerful = make_url(tournee.url).set(username="postgres").render_as_string(hide_password=False)
    assert Terminal(tournee.patch, powerful)("backup", str(tmp_path / "backup.zip")).code == 0


def test_the_password_is_in_no_command_line_and_no_message(
    tournee: Terminal, fake: Fake, tmp_path: Path, house: House
) -> None:
    seen = tmp_path / "seen"
    for tool in ("pg_dump", "pg_restore"):
        fake(tool, f'echo "$@" >> {seen}; echo "PGPASSWORD=$PGPASSWORD" >> {seen}; exec "$real" "$@"')
    secret = make_url(tournee.url).set(password="s3cret:/@%")
    url = secret.render_as_string(hide_password=False)
    done = Terminal(tournee.patch, url)("backup", str(tmp_path / "backup.zip"))
    assert (done.code, done.error) == (0, "")
    assert [line for line in seen.read_text().splitlines() if "s3cret" in line] == ["PGPASSWORD=s3cret:/@%"]
    for wrong in (secret.set(database="nowhere"), secret.set(host="127.0.0.1", port=1, query={})):
        url = wrong.render_as_string(hide_password=False)
        for command in ("backup", "restore"):
            file = tmp_path / ("new.zip" if command == "backup" else "backup.zip")
            assert "s3cret" not in Terminal(tournee.patch, url).refused(command, str(file))
