"""`make demo` plays one technician's day."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.offline_day import checks, serving
from examples.offline_day.day import play

pytestmark = pytest.mark.prove_on("postgresql", "It starts a server with the demo on the other database.")
_ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def running(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server as `make run` starts it, on this module's database."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DATABASE_URL", database_url)
        with serving.own_server(tmp_path_factory.mktemp("server")) as base_url:
            yield base_url


def demo(base_url: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(_ROOT / "clients/python"), "TOURNEE_URL": base_url}
    program = [sys.executable, "-m", "examples.offline_day"]
    return subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow("It plays two days, each in its own process.")
def test_the_demo_day_passes_twice(running: str) -> None:
    for _ in range(2):
        played = demo(running)
        assert played.returncode == 0, played.stdout + played.stderr
        assert "FAILED" not in played.stdout
        assert played.stdout.count("\nok ") >= 25
        assert played.stdout.count("VISIT_ON_REASSIGNED_APPOINTMENT OPEN") == 1


async def test_a_failed_check_fails_the_demo(
    running: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "SUMMARY", "what nobody wrote")
    assert await play(running, tmp_path) == 1
    assert "FAILED the summary is the dispatcher's" in capsys.readouterr().out


def test_the_demo_fails_when_its_named_server_is_unreachable() -> None:
    played = demo("http://127.0.0.1:9")
    assert played.returncode == 1
    assert "nothing answers at http://127.0.0.1:9" in played.stdout


def test_the_demo_uses_the_server_on_the_port_of_make_run(
    running: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOURNEE_URL", raising=False)
    monkeypatch.setenv("PORT", running.rpartition(":")[2])
    with serving.serving(tmp_path) as base_url:
        assert base_url == running


@pytest.mark.slow("It starts a server with the demo.")
def test_the_demo_starts_its_own_server_when_none_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOURNEE_URL", raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("PORT", "9")
    with serving.serving(tmp_path) as base_url:
        assert serving._answers(base_url)
        assert (tmp_path / "server" / "tournee.db").exists()
    assert not serving._answers(base_url)
