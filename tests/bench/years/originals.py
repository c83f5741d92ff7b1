"""Originals: organisations in which work is carried out once, to take a template of what it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Identifier

from tests.bench.years.template import (
    COUNTER,
    LAST_NUMBER,
    LAST_OPERATION,
    LAST_SEQ,
    Rows,
    Template,
    rows_of,
    tables,
)
from tests.bench.years.work import Crew, Site, add_site, crew_of, finish_orders, plan_visit
from tests.support.house import House
from tournee.engine.database import Database
from tournee.people.models import window_ends, window_starts

# Rows that were there before and only count on.
_COUNTING = {"head", "device_state", COUNTER}


@dataclass(frozen=True)
class Templates:
    """A template of each kind of work, with the ids that its rows have there."""

    customer: Template
    site: Site
    finished: Template
    """Finished orders whose visits the technician's device still carries."""
    past: Template
    """The same, after the device's window has passed the visits."""
    planned: Template
    visit: UUID
    """The planned visit."""


class Original:
    """An organisation with one technician. Its numbers occur nowhere else once it has begun."""

    def __init__(self, crew: Crew, connection: psycopg.Connection) -> None:
        self.crew = crew
        self.connection = connection
        self.today = datetime.now(UTC).date()
        self.before: Rows = {}

    @staticmethod
    async def found(database: Database, connection: psycopg.Connection) -> Original:
        crew = await crew_of(await House(database).found())
        await crew.hire()
        return Original(crew, connection)

    @property
    def organisation_id(self) -> UUID:
        return self.crew.house.organisation_id

    def begin(self) -> None:
        """Leap to the numbers from which a template counts: what follows will be copied."""
        own = (self.organisation_id,)
        self.connection.execute(f"UPDATE head SET seq = {LAST_SEQ} WHERE organisation_id = %s", own)
        self.connection.execute(
            f"INSERT INTO {COUNTER} (organisation_id, last) VALUES (%s, {LAST_NUMBER})", own
        )
        self.crew.technicians[0].device.number = LAST_OPERATION
        self.before = rows_of(self.connection, self.organisation_id)

    def added(self) -> Rows:
        """Return the rows that were added since it began. The others may only have counted on."""
        now = rows_of(self.connection, self.organisation_id)
        for table, rows in self.before.items():
            changed = [row for key, row in rows.items() if now[table].get(key) != row]
            assert table in _COUNTING or not changed, f"No copy changes these rows of {table}: {changed}"
        added = {
            table: {key: row for key, row in rows.items() if key not in self.before[table]}
            for table, rows in now.items()
        }
        return {table: rows for table, rows in added.items() if rows}

    def now(self, rows: Rows) -> Rows:
        """Return the same rows as they are now."""
        now = rows_of(self.connection, self.organisation_id)
        return {table: {key: now[table][key] for key in keys} for table, keys in rows.items()}

    def template(self, rows: Rows, site: Site | None = None) -> Template:
        others = self.crew.names() | self.crew.technicians[0].names() | (site.names() if site else {})
        return Template(rows, others, self.today)

    async def pass_by(self) -> None:
        """Move the window of the technician's device past all visits."""
        at = datetime.now(UTC) + timedelta(days=90)
        days = {"windowFrom": window_starts(at), "windowTo": window_ends(at)}
        technician = self.crew.technicians[0].id
        await self.crew.house.run("moveWindow", self.crew.dispatcher, technicianId=technician, **days)

    def delete(self) -> None:
        for table in reversed(tables()):
            statement = SQL("DELETE FROM {} WHERE organisation_id = %s").format(Identifier(table.name))
            self.connection.execute(statement, (self.organisation_id,))
        self.connection.execute("DELETE FROM organisation WHERE id = %s", (self.organisation_id,))


async def make_templates(database: Database, connection: psycopg.Connection) -> Templates:
    """Carry out each kind of work once, in an organisation of its own that is deleted afterwards."""
    originals = [await Original.found(database, connection) for _ in range(3)]
    at_customer, in_past, ahead = originals

    at_customer.begin()
    site = await add_site(at_customer.crew)
    customer = at_customer.template(at_customer.added())

    there = await add_site(in_past.crew)
    in_past.begin()
    await finish_orders(in_past.crew, there)
    rows = in_past.added()
    finished = in_past.template(rows, there)
    await in_past.pass_by()
    past = in_past.template(in_past.now(rows), there)

    there = await add_site(ahead.crew)
    ahead.begin()
    visit = await plan_visit(ahead.crew, there)
    planned = ahead.template(ahead.added(), there)

    for original in originals:
        original.delete()
    return Templates(customer, site, finished, past, planned, visit)
