"""What years of use cost: the room they take, and what pulls, the board and moving windows take on them.

YEARS=5 fills five years; half a year is the default. Each time is the median of a few rounds, taken in this
process, without HTTP.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from tests.bench.figures import Figure
from tests.bench.years.bystander import Bystander
from tests.bench.years.filling import Filled
from tests.bench.years.own import own_rows
from tests.bench.years.sizes import Planned, Sizes, quiet, years_asked
from tests.support import migrate
from tests.support.ask import ask
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.postgres import ROOT, create_database, postgres
from tournee.engine.database import Database
from tournee.people import jobs
from tournee.sync.pull.choice import Choice
from tournee.sync.pull.feed import DEFAULT_LIMIT
from tournee.sync.pull.page import Page

ROUNDS, REASSIGNED, LARGEST = 5, 300, 8
# Whatever takes longer than this is reported as missing.
PATIENCE = 120.0
BOARD = (ROOT / "schema/operations/dispatch_board.graphql").read_text("utf-8")


@asynccontextmanager
async def filled(url: str, sizes: Sizes) -> AsyncIterator[Filled]:
    """Fill a new database at this URL."""
    migrate.upgrade(url)
    database = Database(url)
    yield await Filled(database, sizes).fill()
    await database.close()


async def years() -> list[Figure]:
    quiet()
    with postgres(durable=True) as server:
        started = time.perf_counter()
        async with filled(create_database(server, "years"), Sizes.of(years_asked())) as organisation:
            figures = [Figure("years_fill_s", time.perf_counter() - started, "s")]
            figures += _sizes(organisation)
            figures += await _Reading(organisation).figures("")
            figures += await own_rows(organisation, organisation.technicians[7])
            figures += await _office(organisation)
            figures += await _pull_after_reassignments(organisation)
            figures += await _windows(organisation)
            with organisation.superuser() as connection:
                connection.execute("DELETE FROM pg_statistic")
            # Connections keep the plans that they made with statistics.
            await organisation.database.close()
            figures += await _Reading(organisation).figures("_without_statistics")
    return figures


def _sizes(organisation: Filled) -> list[Figure]:
    with organisation.superuser() as connection:
        database = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        tables = connection.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
            f" AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC LIMIT {LARGEST}"
        ).fetchall()
    assert database is not None
    return [
        Figure("years_database_gb", database[0] / 1e9, "GB"),
        *(Figure(f"years_{name}_mb", size / 1e6, "MB") for name, size in tables),
    ]


async def _seconds(work: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> float:
    """Return the median over some rounds, after one that is not counted; not a number where patience ends."""
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        try:
            await asyncio.wait_for(work(), PATIENCE)
        except TimeoutError:
            return float("nan")
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


class _Reading:
    """What is read all day: a technician's pulls, and a dispatcher's board."""

    def __init__(self, organisation: Filled) -> None:
        self.organisation = organisation
        self.house = organisation.house
        self.technician = organisation.technicians[7]

    async def figures(self, state: str) -> list[Figure]:
        device = TestDevice(self.house, actor=self.technician.actor)
        await device.pull()
        cursor = device.cursor
        # The head moves on for others' sake.
        await self.house.run(
            "createCustomer", self.organisation.dispatcher, name="Demo: nobody visits this customer"
        )

        async def pull_nothing() -> None:
            page = await device.feed.pull(device.actor, cursor)
            assert not page.changes

        async def pull_all() -> None:
            fresh = TestDevice(self.house, actor=self.technician.actor)
            await fresh.pull()
            assert len(fresh.rows) == len(device.rows)

        tomorrow = datetime.combine(datetime.now(UTC).date() + timedelta(days=1), datetime.min.time(), UTC)
        day = {"startsAt": {"gte": tomorrow.isoformat(), "lt": (tomorrow + timedelta(days=1)).isoformat()}}

        async def board() -> None:
            answer = await ask(self.house, BOARD, self.organisation.dispatcher, filter=day)
            assert len(answer["appointments"]["nodes"]) == 50

        return [
            Figure(f"years_idle_pull{state}_ms", await _seconds(pull_nothing, 20) * 1000, "ms"),
            Figure(f"years_first_pull{state}_ms", await _seconds(pull_all) * 1000, "ms"),
            Figure(f"years_first_pull{state}_rows", len(device.rows), "rows"),
            Figure(f"years_board{state}_ms", await _seconds(board) * 1000, "ms"),
        ]


async def _office(organisation: Filled) -> list[Figure]:
    """Begin the first pull of an office device: of everything, and of what an app may choose."""
    house, dispatcher = organisation.house, organisation.dispatcher
    day = (datetime.now(UTC) - timedelta(days=organisation.sizes.days // 6)).date()
    work = ("Appointment", "Assignment", "Contact", "Customer", "Site", "Technician", "WorkOrder")
    figures = []
    for name, choice in (("", None), ("_since", Choice(None, day)), ("_choice", Choice(work, day))):
        device = TestDevice(house, actor=dispatcher, choice=choice)
        page = await device.feed.pull(dispatcher, None, choice=choice)
        assert page.progress is not None

        async def pull_page(device: TestDevice = device, page: Page = page) -> None:
            await device.feed.pull(dispatcher, page.cursor)

        figures += [
            Figure(f"years_office{name}_rows", page.progress.total, "rows"),
            Figure(f"years_office{name}_page_ms", await _seconds(pull_page, 20) * 1000, "ms"),
        ]
    return figures


async def _pull_after_reassignments(organisation: Filled) -> list[Figure]:
    """Take visits from a technician and give them as many others, all while their device is away."""
    mine, other = 3, 4
    device = TestDevice(organisation.house, actor=organisation.technicians[mine].actor)
    await device.pull()
    own = [visit for visit in organisation.planned if visit.technician == mine]
    others = [visit for visit in organisation.planned if visit.technician not in {mine, other}]
    moves = [(visit, mine) for visit in others[: REASSIGNED - REASSIGNED // 2]]
    moves += [(visit, other) for visit in (own + others)[: REASSIGNED // 2]]
    started = time.perf_counter()
    for visit, to in moves:
        await reassign(organisation, visit, to)
    took = (time.perf_counter() - started) / len(moves)
    pages, started = 0, time.perf_counter()
    more = True
    while more:
        page = await device.feed.pull(device.actor, device.cursor, DEFAULT_LIMIT)
        device.cursor, more, pages = page.cursor, page.more, pages + 1
    seconds = time.perf_counter() - started
    await organisation.check_members(organisation.technicians[mine], organisation.technicians[other])
    return [
        Figure("years_reassign_alone_ms", took * 1000, "ms"),
        Figure("years_pull_after_300_reassignments_s", seconds, "s"),
        Figure("years_pull_after_300_reassignments_pages", pages, "pages"),
    ]


async def reassign(organisation: Filled, visit: Planned, to: int) -> None:
    technician = organisation.technicians[to].id
    what = {"appointmentId": visit.id, "technicianId": technician}
    await organisation.house.run("reassignAppointment", organisation.dispatcher, **what)


async def _windows(organisation: Filled) -> list[Figure]:
    """Move all windows on to tomorrow's, as housekeeping does in the night, while somebody works on."""
    house = House(organisation.database)
    house.organisation_id = organisation.house.organisation_id
    customer = organisation.customers[-1]

    async def update() -> None:
        phone = f"+33 {time.monotonic_ns()}"
        await house.run("updateCustomer", organisation.dispatcher, customerId=customer, phone=phone)

    bystander = Bystander(update, pause=0.01)
    with patch.object(jobs, "now", lambda: datetime.now(UTC) + timedelta(days=1)):
        async with bystander.beside():
            started = time.perf_counter()
            moved = await jobs.move_windows(house.kernel, house.organisation_id)
            seconds = time.perf_counter() - started
    assert moved == len(organisation.technicians)
    return [
        Figure("years_windows_s", seconds, "s"),
        Figure("years_windows_bystander_p99_ms", bystander.quantile(0.99) * 1000, "ms"),
        Figure("years_windows_bystander_p50_ms", bystander.quantile(0.5) * 1000, "ms"),
    ]
