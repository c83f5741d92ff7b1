"""What the environment says: read as it has to be, or refused in one line that names the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tournee.settings import UnusableSetting, read_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("TOURNEE_WORKERS", "0"),
        ("TOURNEE_WORKERS", "two"),
        ("TOURNEE_DEMO", "maybe"),
        ("TOURNEE_ACCESS_TOKEN_SECONDS", "15m"),
        ("TOURNEE_REFRESH_TOKEN_DAYS", "-1"),
        ("TOURNEE_BODY_LIMIT", "8MB"),
        ("TOURNEE_LOG_FORMAT", "xml"),
        ("TOURNEE_HEARTBEAT_SECONDS", "nan"),
        ("TOURNEE_HEARTBEAT_SECONDS", "soon"),
        ("TOURNEE_WEB_ORIGINS", "https://app.example.org/"),
        ("TOURNEE_WEB_ORIGINS", "app.example.org"),
        ("TOURNEE_HORIZON_DAYS", "90 days"),
        ("TOURNEE_OPERATIONS_DAYS", "1e3"),
        ("TOURNEE_PARKED_DAYS", "30.5"),
        ("DATABASE_URL", "mysql://demo:secret@db/demo"),
        ("DATABASE_URL", "postgresql://demo:secret@db:port/demo"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "demo.db"),
    ],
)
def test_what_cannot_be_gone_by_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(UnusableSetting) as refused:
        read_settings({name: value})
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_what_is_empty_is_not_set() -> None:
    names = ("PORT", "TOURNEE_WORKERS", "TOURNEE_HEARTBEAT_SECONDS", "DATABASE_URL", "TOURNEE_DEMO")
    assert read_settings(dict.fromkeys(names, "")) == read_settings({})


@pytest.mark.parametrize(("value", "on"), [("1", True), ("Yes", True), ("off", False), ("0", False)])
def test_the_demo_is_on_or_off(value: str, on: bool) -> None:
    assert read_settings({"TOURNEE_DEMO": value}).demo is on


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOURNEE_HORIZON_DAYS", "ninety"),
        ("DATABASE_URL", "sqlite:////dev/null/demo.db"),
        ("DATABASE_URL", "sqlite:////dev"),
        ("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/demo"),
    ],
)
def test_the_command_line_says_so_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOURNEE_")}
    told = subprocess.run(
        [sys.executable, "-c", "from tournee.cli import main; main()", "migrate"],
        cwd=tmp_path,
        env={**kept, "TOURNEE_DIRECTORY": str(tmp_path), name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = told.stderr.splitlines()
    assert (told.returncode, line.partition(":")[0]) == (2, name)
