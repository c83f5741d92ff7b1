"""Runs that start servers also stop them on a signal, as at Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

ROOT = Path(__file__).parents[1]
MORE = pytest.mark.prove("Each starts a PostgreSQL and is interrupted.")
POSTGRESQL = {"DATABASE": "postgresql", "PROCESSES": "1"}


def marked(mark: str) -> Iterator[str]:
    """Return the programs of the processes with this text in their environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                yield (process / "comm").read_text().strip()
        except OSError:
            continue


def _has_database(running: set[str]) -> bool:
    return "postgres" in running and "initdb" not in running


@pytest.mark.slow("It starts a PostgreSQL.")
@pytest.mark.parametrize(
    ("module", "asked", "sent"),
    [
        pytest.param(
            "tests.simulator", {**POSTGRESQL, "SEED": "1"}, signal.SIGTERM, id="one seed", marks=MORE
        ),
        pytest.param(
            "tests.simulator", {**POSTGRESQL, "SEEDS": "8"}, signal.SIGTERM, id="workers", marks=MORE
        ),
        pytest.param("tests.simulator", {**POSTGRESQL, "SEEDS": "8"}, signal.SIGINT, id="workers at Ctrl-C"),
        pytest.param(
            "tests.bench", {"ONLY": "pull_idle_vs_noop_ratio"}, signal.SIGTERM, id="bench", marks=MORE
        ),
    ],
)
def test_processes_started_by_a_run_end_with_it(
    module: str, asked: dict[str, str], sent: signal.Signals
) -> None:
    if not Path("/proc/self/environ").exists():
        pytest.skip("The list of processes is read from /proc.")
    mark = f"ending-{uuid4()}"
    run = subprocess.Popen(
        [sys.executable, "-m", module],
        env={**os.environ, **asked, "MARK": mark},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while run.poll() is None and not _has_database(set(marked(mark))):
            time.sleep(0.1)
        assert run.poll() is None, "the run ended before it had a database"
        run.send_signal(sent)
        assert run.wait(60) != 0
        # A process that the run stops at its end may take a moment longer.
        for _ in range(100):
            if not list(marked(mark)):
                return
            time.sleep(0.1)
        pytest.fail(f"still running: {list(marked(mark))}")
    finally:
        run.kill()
