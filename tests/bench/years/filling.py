"""Filling: an organisation as years of use leave it, made of a few templates that are copied many times.

The copies are written past all rules. They hold the final state of each row, without the dead rows that
updates leave. Nothing is so old here that housekeeping has removed it: a server that runs on it must be told
to keep receipts and ended memberships as long, or it begins with a great deletion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import make_url, select, text

from tests.bench.years.originals import Templates, make_templates
from tests.bench.years.sizes import PLANNED_DAYS, Planned, Sizes
from tests.bench.years.template import (
    COUNTER,
    NUMBERED,
    NUMBERS,
    Place,
    Template,
    Values,
    columns_of,
    tables,
)
from tests.bench.years.work import PLANNED_IN, VISITS, Crew, Technician, crew_of
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.postgres import libpq
from tournee.engine.database import Database
from tournee.engine.engines import outside_transactions
from tournee.kernel.actor import Actor
from tournee.kernel.log import Member
from tournee.people.models import WINDOW_BEHIND

# The fill writes past rules, policies and references.
_OPTIONS = "-c timezone=UTC -c session_replication_role=replica -c synchronous_commit=off"
_PORTION = 500


class Filled:
    """One organisation. `fill` creates it, in an empty database or in one that has others."""

    def __init__(self, database: Database, sizes: Sizes) -> None:
        self.database = database
        self.sizes = sizes
        self.house = House(database)
        self.planned: list[Planned] = []
        self.customers: list[UUID] = []
        # Of each table: what a finished visit added, and what there was before the first one.
        self.bytes_of_visits: dict[str, float] = {}
        self.bytes_before_visits: dict[str, int] = {}
        # Rows that there must be, by table.
        self.expected: Counter[str] = Counter()
        self._places: list[dict[str, str]] = []
        self._seq = 0

    # -- who and where -----------------------------------------------------------------------------

    @property
    def technicians(self) -> list[Technician]:
        return self.crew.technicians

    @property
    def dispatcher(self) -> Actor:
        return self.crew.dispatcher

    def superuser(self) -> psycopg.Connection:
        url = make_url(self.database.url).set(username="postgres")
        return psycopg.connect(
            libpq(url.render_as_string(hide_password=False)), autocommit=True, options=_OPTIONS
        )

    def _others(self, technician: int, turn: int) -> dict[str, str]:
        """Return who does the work of this turn, and where: technicians go round the customers."""
        start = technician * self.sizes.customers // self.sizes.technicians
        own = self._names[technician]
        return {**own, **self._places[(start + turn) % self.sizes.customers]}

    # -- filling -----------------------------------------------------------------------------------

    async def fill(self) -> Filled:
        with self.superuser() as connection:
            templates = await make_templates(self.database, connection)
            await self._begin(connection)
            self._write(connection, templates.customer, self._copies_of_customers(templates))
            before = self.bytes_before_visits = sizes_of_tables(connection)
            over = [n for n in range(self.sizes.finished) if not self.sizes.is_carried(n)]
            self._write(connection, templates.past, self._copies_of_work(templates.past, over))
            visits = max(1, len(over) * sum(VISITS))
            after = sizes_of_tables(connection)
            self.bytes_of_visits = {table: (size - before[table]) / visits for table, size in after.items()}
            carried = range(len(over), self.sizes.finished)
            self._write(connection, templates.finished, self._copies_of_work(templates.finished, carried))
            self._write(connection, templates.planned, self._copies_of_plans(templates))
            self._end(connection)
        async with outside_transactions(self.database.engine).connect() as settled:
            await settled.execute(text("VACUUM ANALYZE"))
        await self.check()
        return self

    async def _begin(self, connection: psycopg.Connection) -> None:
        """Found the organisation and hire its technicians, long ago."""
        sizes = self.sizes
        carried = sum(map(sizes.is_carried, range(sizes.finished)))
        least = sizes.planned + -(-carried // sizes.technicians) + 1
        assert sizes.customers >= least, f"No technician may have two visits at one customer: take {least}."
        self.crew: Crew = await crew_of(await self.house.found())
        for _ in range(sizes.technicians):
            await self.crew.hire()
        names = self.crew.names()
        self._names = [
            {name: str(id) for id, name in (names | one.names()).items()} for one in self.technicians
        ]
        self._seq = await self.house.seq()
        connection.execute(
            "UPDATE change SET recorded_at = recorded_at - %s, occurred_at = occurred_at - %s"
            " WHERE organisation_id = %s",
            (timedelta(days=sizes.days + 2),) * 2 + (self.house.organisation_id,),
        )
        self.expected.update(self._counts(connection))

    def _copies_of_customers(self, templates: Templates) -> Iterator[Values]:
        template, site = templates.customer, templates.site
        for n in range(self.sizes.customers):
            place = Place(self._seq + n * template.seqs, self._names[0], back=self.sizes.days + 1)
            values = template.fill(n, place)
            self._places.append({name: template.own(values, id) for id, name in site.names().items()})
            self.customers.append(UUID(self._places[-1]["customer"]))
            yield values

    def _copies_of_work(self, template: Template, numbers: Iterable[int]) -> Iterator[Values]:
        sizes = self.sizes
        # How much work is done until a window has passed a visit.
        meanwhile = WINDOW_BEHIND.days * sizes.finished // sizes.days + 1
        first = None
        for n in numbers:
            first = n if first is None else first
            seq = self._seq + (n - first) * template.seqs
            turn, technician = divmod(n, sizes.technicians)
            device = self.technicians[technician].device
            place = Place(
                seq,
                self._others(technician, turn),
                operation=device.number,
                number=NUMBERS.first - 1 + n * template.numbers,
                until=seq + min(meanwhile, sizes.finished - n) * template.seqs,
                back=sizes.back(n),
            )
            device.number += template.operations
            yield template.fill(n, place)

    def _copies_of_plans(self, templates: Templates) -> Iterator[Values]:
        sizes, template = self.sizes, templates.planned
        turns, orders = -(-sizes.finished // sizes.technicians), sizes.finished * len(VISITS)
        for n in range(sizes.planned * sizes.technicians):
            turn, technician = divmod(n, sizes.technicians)
            place = Place(
                self._seq + n * template.seqs,
                self._others(technician, turns + turn),
                number=NUMBERS.first - 1 + orders + n * template.numbers,
                later=1 + turn % PLANNED_DAYS - PLANNED_IN,
            )
            values = template.fill(n, place)
            self.planned.append(Planned(UUID(template.own(values, templates.visit)), technician))
            yield values

    def _write(self, connection: psycopg.Connection, template: Template, copies: Iterator[Values]) -> None:
        while portion := list(islice(copies, _PORTION)):
            with connection.transaction(), connection.cursor() as cursor:
                for table in tables():
                    if table.name in template.texts:
                        into = SQL("COPY {} ({}) FROM STDIN").format(
                            Identifier(table.name), columns_of(table)
                        )
                        with cursor.copy(into) as copy:
                            copy.write("".join([template.texts[table.name] % values for values in portion]))
            count = len(portion)
            self.expected.update({table: count * rows for table, rows in template.counts.items()})
        self._seq = self.expected["change"]

    def _end(self, connection: psycopg.Connection) -> None:
        """Let all that counts go on after what was copied."""
        own = {"org": self.house.organisation_id, "seq": self._seq}
        own["last"] = NUMBERS.first - 1 + self.expected[NUMBERED.__tablename__]
        connection.execute("UPDATE head SET seq = %(seq)s WHERE organisation_id = %(org)s", own)
        counter = SQL("INSERT INTO {} (organisation_id, last) VALUES (%(org)s, %(last)s)")
        connection.execute(counter.format(Identifier(COUNTER)), own)
        self.expected[COUNTER] += 1
        connection.execute(
            "UPDATE device_state SET next_number = done.last + 1, last_number = done.last FROM"
            " (SELECT device_id, max(number) AS last FROM receipt WHERE organisation_id = %(org)s GROUP BY 1)"
            " AS done WHERE organisation_id = %(org)s AND device_state.device_id = done.device_id",
            own,
        )

    # -- checking ----------------------------------------------------------------------------------

    async def check(self) -> None:
        """Raise AssertionError unless the organisation is what it was to become and real commands run."""
        with self.superuser() as connection:
            found = self._counts(connection)
            assert found == dict(self.expected), f"{found} are not {dict(self.expected)}"
            last = connection.execute(
                "SELECT max(seq) FROM change WHERE organisation_id = %s", (self.house.organisation_id,)
            ).fetchone()
        assert last == (self._seq,) == (await self.house.seq(),)
        device = TestDevice(self.house, actor=self.technicians[0].actor)
        await device.pull(5000)
        visits = [id for id, row in device.rows.items() if row["entity"] == "Appointment"]
        assert len(visits) == self.carried(0), f"{len(visits)} visits instead of {self.carried(0)}"
        moved, to = self.planned[0], self.technicians[1]
        await self.house.run(
            "reassignAppointment", self.dispatcher, appointmentId=moved.id, technicianId=to.id
        )
        self.planned[0] = Planned(moved.id, 1)
        await self.check_members(self.technicians[0], to)

    def carried(self, technician: int) -> int:
        """Return how many visits the device of a technician carried when the organisation was filled."""
        mine = range(technician, self.sizes.finished, self.sizes.technicians)
        return self.sizes.planned + sum(map(self.sizes.is_carried, mine)) * sum(VISITS)

    async def check_members(self, *technicians: Technician) -> None:
        """Compare what these technicians hold with what the rules say."""
        accounts = {technician.actor.id for technician in technicians}
        async with self.house.reading() as session:
            wanted = await self.house.kernel.rules.held_by(session, accounts)
            own = (Member.account_id.in_(accounts), Member.to_seq.is_(None))
            rows = await session.execute(select(Member.account_id, Member.scope).where(*own))
            held = sorted((account, scope) for account, scope in rows)
        assert held == sorted(wanted), f"{len(held)} scopes are held instead of {len(wanted)}"

    def _counts(self, connection: psycopg.Connection) -> dict[str, int]:
        counted = SQL(" UNION ALL ").join(
            SQL("SELECT {}, count(*) FROM {} WHERE organisation_id = {} HAVING count(*) > 0").format(
                Literal(table.name), Identifier(table.name), Literal(self.house.organisation_id)
            )
            for table in tables()
        )
        return dict(connection.execute(counted).fetchall())  # type: ignore[arg-type]


def sizes_of_tables(connection: psycopg.Connection) -> dict[str, int]:
    """Return the bytes of each table of organisations, with its indexes."""
    names = [table.name for table in tables()]
    sizes = connection.execute(
        "SELECT name, pg_total_relation_size(name::regclass) FROM unnest(%s::text[]) AS name", (names,)
    )
    return dict(sizes.fetchall())  # type: ignore[arg-type]
