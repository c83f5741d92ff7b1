"""The speed of importing a real register: its committed sample, copied under other numbers."""

from __future__ import annotations

import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.bench.figures import Figure
from tests.support import migrate
from tests.support.postgres import create_database, postgres
from tournee.auth.organisations import actor_of, found_organisation
from tournee.auth.roles import Role
from tournee.catalogue import MEMBERSHIPS
from tournee.engine.database import Database
from tournee.importing.command import Options, run_import
from tournee.importing.mapping import load_mapping
from tournee.kernel.command import Kernel
from tournee.kernel.entity import new_id

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "importing" / "sample.csv"
MAPPING = ROOT / "mappings" / "nyc_elevators.toml"
COPIES, ROUNDS = 10, 3


def enlarge(target: Path) -> int:
    """Write the sample this many times, each copy with its own device and building numbers."""
    with SAMPLE.open(newline="", encoding="utf-8") as source:
        header, *rows = csv.reader(source)
    building = header.index("BIN")
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for copy in range(COPIES):
            for row in rows:
                if not row:
                    continue
                own = list(row)
                own[0] = f"{row[0]}C{copy}"
                if row[building].isdigit() and len(row[building]) == 7:
                    shifted = (int(row[building][1:]) + copy * 997) % 1_000_000
                    own[building] = f"{row[building][0]}{shifted:06d}"
                writer.writerow(own)
    return COPIES * len(rows)


async def _seconds(url: str, file: Path) -> float:
    database = Database(url, cache_megabytes=64)
    kernel = Kernel(database, MEMBERSHIPS)
    organisation_id, manager = new_id(), new_id()
    await found_organisation(database, organisation_id, "bench")
    actor = actor_of(organisation_id, manager, Role.MANAGER)
    options = Options(file, MAPPING, report=file.with_suffix(".report"))
    started = time.perf_counter()
    await run_import(kernel, actor, load_mapping(MAPPING), options)
    seconds = time.perf_counter() - started
    await database.close()
    return seconds


@contextmanager
def _sqlite() -> Iterator[Callable[[int], str]]:
    with tempfile.TemporaryDirectory() as directory:
        yield lambda turn: f"sqlite:///{directory}/{turn}.db"


@contextmanager
def _postgresql() -> Iterator[Callable[[int], str]]:
    with postgres(durable=True) as server:
        yield lambda turn: create_database(server, f"import_{turn}")


async def _rate(name: str, databases: AbstractContextManager[Callable[[int], str]]) -> Figure:
    with tempfile.TemporaryDirectory() as directory, databases as fresh:
        file = Path(directory) / "register.csv"
        lines = enlarge(file)
        rates = []
        for turn in range(ROUNDS):
            url = fresh(turn)
            migrate.upgrade(url)
            rates.append(lines / await _seconds(url, file))
        return Figure(name, statistics.median(rates), "lines/s")


async def import_rate() -> list[Figure]:
    """Measure source lines per second, including all entities and the report."""
    return [
        await _rate("import_rows_per_s", _sqlite()),
        await _rate("import_rows_per_s_postgresql", _postgresql()),
    ]
