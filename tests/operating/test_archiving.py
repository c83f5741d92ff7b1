"""`tournee archive` refuses what it cannot do, in one line."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.operating.terminal import Terminal

LONG_AGO = "2001-01-01"


def test_it_says_what_it_did_for_each_organisation(tournee: Terminal, tmp_path: Path) -> None:
    tournee("organisation", "add", "Demo Lifts", "--manager", "boss@demo.example")
    said = tournee("archive", "--before", LONG_AGO, "--out", str(tmp_path))
    assert said.code == 0
    assert "wrote 0 entries and removed 0 from the log." in said.out
    assert list(tmp_path.iterdir()) == []


def test_it_refuses_a_day_that_devices_still_need(
    tournee: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = f"{datetime.now(UTC) - timedelta(days=399):%Y-%m-%d}"
    line = tournee.refused("archive", "--before", day, "--out", str(tmp_path))
    assert line.startswith("--before: devices may still need the log since ")
    assert "TOURNEE_OPERATIONS_DAYS" in line
    monkeypatch.setenv("TOURNEE_OPERATIONS_DAYS", "30")
    assert tournee("archive", "--before", day, "--out", str(tmp_path)).code == 0
    monkeypatch.setenv("TOURNEE_HORIZON_DAYS", "500")
    assert "500 days" in tournee.refused("archive", "--before", day, "--out", str(tmp_path))


def test_it_refuses_a_missing_folder_and_an_unknown_organisation(tournee: Terminal, tmp_path: Path) -> None:
    line = tournee.refused("archive", "--before", LONG_AGO, "--out", str(tmp_path / "none"))
    assert "create it first" in line
    asked = ("--organisation", "nobody")
    line = tournee.refused("archive", "--before", LONG_AGO, "--out", str(tmp_path), *asked)
    assert line.startswith("--organisation: there is no such organisation")


def test_it_says_how_to_install_what_it_needs(
    tournee: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    line = tournee.refused("archive", "--before", LONG_AGO, "--out", str(tmp_path))
    assert "tournee[archive]" in line
