"""`tournee archive` is killed at any moment; a second run loses no entry and writes none twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.aging import age, filed, logged
from tests.support.house import House
from tournee.kernel.entity import now

# Kills itself before the n-th call of a function.
KILLED = """
import os, signal, sys
from tournee.archiving import moving, parquet, planning
from tournee.engine import purging
moving.PORTION, planning.MOST, purging.CHUNK = 3, 7, 2
module, name, calls = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
owner = {"moving": moving, "parquet": parquet}[module]
real = getattr(owner, name)

def counted(*arguments):
    global calls
    calls -= 1
    if calls == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)

setattr(owner, name, counted)
from tournee.cli import main
main()
"""


MORE = pytest.mark.prove("One more moment.")


@pytest.mark.slow("Two processes for each of the moments.")
@pytest.mark.prove_on("postgresql", "The same moments on the other database.")
@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        pytest.param("parquet", "_plain", 55, marks=MORE),  # in the middle of a file
        pytest.param("moving", "appear", 1, marks=MORE),  # a file is written, and has no name
        ("moving", "_note", 2),  # a file has its name, and nobody knows
        pytest.param("moving", "purge", 1, marks=MORE),  # it is known, and nothing is removed
        pytest.param("moving", "purge", 3, marks=MORE),
        pytest.param("moving", "plan", 3, marks=MORE),  # between two files
    ],
)
async def test_a_second_run_completes_what_a_killed_one_began(
    house: House, tmp_path: Path, module: str, name: str, call: int
) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    for n in range(20):
        await house.run("updateCustomer", customerId=customer.id, phone=f"old {n}")
    await age(house, 800)
    await house.run("updateCustomer", customerId=customer.id, phone="new")
    before = await logged(house)
    day = f"{now() - timedelta(days=401):%Y-%m-%d}"
    arguments = ["archive", "--before", day, "--out", tmp_path, "--organisation", house.organisation_id]
    environment = {**os.environ, "DATABASE_URL": house.database.url}

    def run(call: int) -> int:
        program = [sys.executable, "-c", KILLED, module, name, str(call), *map(str, arguments)]
        return subprocess.run(program, env=environment, check=False, timeout=60).returncode

    assert run(call) == -signal.SIGKILL
    here, there = await logged(house), [row["seq"] for row in complete(tmp_path)]
    assert {row["seq"] for row in here} | set(there) == {row["seq"] for row in before}
    assert run(0) == 0
    assert complete(tmp_path) == before[:-2]
    assert await logged(house) == before[-2:]


def complete(folder: Path) -> list[dict[str, object]]:
    """Return the entries in files that have their names, after removing what a killed process left."""
    for file in folder.glob("*.part"):
        file.unlink()
    return filed(folder)
