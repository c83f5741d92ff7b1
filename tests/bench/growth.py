"""The cost of a pull in an organisation with 10,000 records and in one with 1,000,000.

Both organisations are in one PostgreSQL database. A technician holds 400 scopes of five records
each (200 visits, their orders, customers and sites) and the catalogue, as in a real organisation;
the large one has 100 times the records and technicians. The rows are written straight into the
feed's tables, in the form that commands write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from sqlalchemy import text

from tests.bench.figures import Figure, compare
from tests.support import migrate
from tests.support.postgres import create_database, postgres
from tournee.auth.roles import Role, permissions_of
from tournee.catalogue import ENTITIES
from tournee.engine.database import Database
from tournee.engine.engines import outside_transactions
from tournee.kernel.actor import Actor
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.feed import Feed

CATALOGUE, SCOPES_EACH, RECORDS_EACH = 5_000, 400, 5
CHANGES = 100

_FILL = """
CREATE TEMPORARY TABLE filler ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id, CASE WHEN n <= :catalogue THEN CAST(:org AS uuid) END AS scope
  FROM generate_series(1, :records) n;
CREATE TEMPORARY TABLE scopes ON COMMIT DROP AS
  SELECT s, gen_random_uuid() AS scope FROM generate_series(0, (:records - :catalogue) / :each) s;
UPDATE filler SET scope = scopes.scope FROM scopes
  WHERE filler.scope IS NULL AND scopes.s = (filler.n - :catalogue - 1) / :each;
INSERT INTO record (organisation_id, id, entity, seq, deleted, clock, document)
  SELECT :org, id, 'Customer', n, false, '{{"*":[1,null,null]}}',
    '{{"id":"' || id || '","name":"' || repeat('x', 560) || '"}}'
  FROM filler;
INSERT INTO edge (organisation_id, scope, record_id, seq, open) SELECT :org, scope, id, n, true FROM filler;
INSERT INTO member (organisation_id, account_id, scope, from_seq)
  SELECT :org, accounts.id, scopes.scope, 0 FROM scopes
  JOIN (SELECT a, gen_random_uuid() AS id FROM generate_series(1, :accounts) a) accounts
    ON accounts.a = scopes.s / :held;
INSERT INTO member (organisation_id, account_id, scope, from_seq)
  SELECT :org, :account, scope, 0 FROM scopes WHERE s < :held;
INSERT INTO member (organisation_id, account_id, scope, from_seq) VALUES (:org, :account, :org, 0);
INSERT INTO organisation (id, name, created_at) VALUES (:org, 'bench', now());
INSERT INTO head (organisation_id, epoch, seq, floor) VALUES (:org, :epoch, :records, 0);
"""

_TOUCH = """
WITH own AS (
  SELECT e.record_id, e.scope, row_number() OVER (ORDER BY e.record_id) AS n FROM edge e
  JOIN member m USING (organisation_id, scope)
  WHERE e.organisation_id = :org AND m.account_id = :account AND e.scope <> :org LIMIT :changes),
records AS (UPDATE record r SET seq = :head + own.n FROM own
  WHERE r.organisation_id = :org AND r.id = own.record_id)
UPDATE edge e SET seq = :head + own.n FROM own
  WHERE e.organisation_id = :org AND e.scope = own.scope AND e.record_id = own.record_id;
UPDATE head SET seq = :head + :changes + 1 WHERE organisation_id = :org;
"""


class Filled:
    """An organisation with this many records, and its technician's cursors."""

    def __init__(self, database: Database, records: int) -> None:
        self.records = records
        self.organisation_id, self.epoch = uuid4(), uuid4()
        self.database = database
        self.feed = Feed(database, tuple(ENTITIES.values()))
        self.technician = self._actor(Role.TECHNICIAN, sees_all=False)

    def _actor(self, role: Role, *, sees_all: bool) -> Actor:
        return Actor(uuid4(), self.organisation_id, role, permissions_of(role), sees_all)

    async def fill(self) -> Filled:
        own = {
            "org": self.organisation_id,
            "epoch": self.epoch,
            "records": self.records,
            "account": self.technician.id,
            "catalogue": CATALOGUE,
            "each": RECORDS_EACH,
            "held": SCOPES_EACH,
            "accounts": self.records // (SCOPES_EACH * RECORDS_EACH),
            "head": self.records,
            "changes": CHANGES,
        }
        async with self.database.writing(self.organisation_id) as session:
            for statement in (_FILL.format() + _TOUCH).split(";\n"):
                if statement.strip():
                    named = {key: value for key, value in own.items() if f":{key}" in statement}
                    await session.execute(text(statement), named)
            await session.commit()
        return self

    async def idle(self) -> None:
        """Pull after changes that are not visible to the technician."""
        page = await self.feed.pull(self.technician, self._cursor(CHANGES))
        assert not page.changes

    async def delta(self) -> None:
        page = await self.feed.pull(self.technician, self._cursor(0))
        assert len(page.changes) == CHANGES, len(page.changes)
        assert sum(len(change.json()) for change in page.changes) > 50_000

    def _cursor(self, past: int) -> Cursor:
        return Cursor(self.epoch, self.records + past)


@asynccontextmanager
async def two_organisations() -> AsyncIterator[tuple[Filled, Filled]]:
    with postgres(durable=False) as server:
        url = create_database(server, "growth")
        migrate.upgrade(url)
        database = Database(url)
        small = await Filled(database, 10_000).fill()
        large = await Filled(database, 1_000_000).fill()
        async with outside_transactions(database.engine).connect() as connection:
            await connection.execute(text("VACUUM ANALYZE"))
        yield small, large
        await database.close()


async def pull_growth() -> list[Figure]:
    async with two_organisations() as (small, large):
        return [
            *await compare("pull_idle_growth", small.idle, large.idle),
            *await compare("pull_delta_growth", small.delta, large.delta),
        ]
