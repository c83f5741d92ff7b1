"""The files a start creates, their owners and modes, and the obstacles it reports."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operating.terminal import Terminal
from tournee.settings import Settings


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal in an empty folder with an empty environment."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        monkeypatch.setenv(str(field.validation_alias), "")
    return Terminal(monkeypatch, "")


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def test_a_created_folder_is_named_and_private(terminal: Terminal, tmp_path: Path) -> None:
    said = terminal("migrate")
    folder = tmp_path / "var"
    assert (said.code, said.error) == (0, f"Made {folder} for the server's files (TOURNEE_DIRECTORY).\n")
    assert [mode(folder), mode(folder / "tournee.db")] == ["700", "600"]
    assert terminal("migrate").error == ""


def test_a_folder_left_readable_by_older_versions_is_made_private(
    terminal: Terminal, tmp_path: Path, sqlite_template: Path
) -> None:
    folder, file = tmp_path / "var", tmp_path / "var" / "tournee.db"
    folder.mkdir(mode=0o755)
    shutil.copy(sqlite_template, file)
    file.chmod(0o644)
    assert terminal("migrate").code == 0
    assert [mode(folder), mode(file)] == ["700", "600"]


def test_a_configured_folder_keeps_its_mode(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    monkeypatch.setenv("TOURNEE_DIRECTORY", str(shared))
    assert terminal("migrate").error == ""
    assert [mode(shared), mode(shared / "tournee.db")] == ["755", "600"]


def test_the_umask_is_restored_after_the_command(terminal: Terminal, tmp_path: Path) -> None:
    terminal("migrate")
    (tmp_path / "afterwards").touch(mode=0o644)
    assert mode(tmp_path / "afterwards") == "644"


def test_only_commands_that_create_a_database_create_a_folder(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal.refused("keys", "rotate").startswith("DATABASE_URL: there is no database at var/")
    assert terminal.refused("organisation", "list").startswith("DATABASE_URL: there is no database at var/")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def taken() -> Iterator[int]:
    """Yield a port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_an_obstacle_is_reported_in_one_line_with_its_variable(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    (tmp_path / "var").mkdir()
    with monkeypatch.context() as patch:
        patch.setenv("PORT", str(taken))
        line = terminal.refused("run")
        assert line == f"PORT: {taken} is in use: choose another, such as PORT={taken + 1}."
        patch.setenv("TOURNEE_HOST", "192.0.2.1")
        assert terminal.refused("run").startswith("TOURNEE_HOST: 192.0.2.1 does not belong to this machine")
    # Nothing was written to a database that may belong to another server.
    assert list((tmp_path / "var").iterdir()) == []
    for folder in ("/dev/null", "/dev/null/var", "/proc"):
        monkeypatch.setenv("TOURNEE_DIRECTORY", folder)
        for command in ("run", "migrate"):
            assert terminal.refused(command).startswith(f"TOURNEE_DIRECTORY: {folder} cannot be written: ")
