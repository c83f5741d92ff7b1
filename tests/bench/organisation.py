"""An organisation to pull from, written straight into the feed's tables in the form that commands write.

A technician holds 400 scopes with this many records each (visits, their orders, customers and sites) and
the catalogue, as in a real organisation; a dispatcher sees everything.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from tournee.auth.keys.ring import KeyRing
from tournee.auth.roles import OFFICE, Role, permissions_of
from tournee.auth.tokens import Tokens
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.actor import Actor
from tournee.settings import Settings
from tournee.sync.pull.cursor import Cursor, CursorCodec

# A record's text without its id; about 600 bytes with it.
NAME = "x" * 560

_FOUND = """
INSERT INTO organisation (id, name, created_at) VALUES (:org, 'bench', now());
INSERT INTO head (organisation_id, epoch, seq, floor) VALUES (:org, gen_random_uuid(), :records, 0)
"""
_RECORDS = """
CREATE TEMPORARY TABLE scopes ON COMMIT DROP AS
  SELECT s, CASE WHEN s = 0 THEN CAST(:org AS uuid) ELSE gen_random_uuid() END AS scope
  FROM generate_series(0, :scopes) s;
CREATE TEMPORARY TABLE filler ON COMMIT DROP AS
  SELECT n, gen_random_uuid() AS id, CASE WHEN n <= :catalogue THEN 0 ELSE 1 + n % :scopes END AS s
  FROM generate_series(1, :records) n;
INSERT INTO record (organisation_id, id, entity, seq, deleted, clock, document)
  SELECT :org, id, 'Customer', n, false, '{"*":[1,null,null]}',
    '{"id":"' || id || '","name":"' || :name || '"}' FROM filler;
INSERT INTO edge (organisation_id, scope, record_id, seq, open)
  SELECT :org, scope, id, n, true FROM filler JOIN scopes USING (s);
INSERT INTO member (organisation_id, account_id, scope, from_seq) SELECT :org, :account, scope, 0 FROM scopes
"""
_ACCOUNT = """
INSERT INTO account (organisation_id, id, created_at, deleted, email, name, role, status)
  VALUES (:org, :account, now(), false, :email, 'Demo Person', :role, 'ACTIVE')
"""

# The first technician's scopes, in turn.
_HELD = """
INSERT INTO member (organisation_id, account_id, scope, from_seq)
SELECT :org, a.id, own.scope, 0
FROM unnest(CAST(:accounts AS uuid[])) WITH ORDINALITY AS a (id, n)
JOIN (
  SELECT scope, row_number() OVER (ORDER BY scope) AS n, count(*) OVER () AS of FROM member
  WHERE organisation_id = :org AND account_id = :own AND scope <> :org) own
ON (own.n + a.n * :held) % own.of < :held
UNION ALL SELECT :org, id, :org, 0 FROM unnest(CAST(:accounts AS uuid[])) AS id
"""


class BenchOrganisation:
    """One organisation with this many records, all visible to the technician."""

    def __init__(self, database: Database, directory: Path, records: int = 10_000, scopes: int = 400) -> None:
        self.database = database
        self.records = records
        self.scopes = scopes
        self.id = uuid4()
        settings = Settings(directory=directory, access_token_seconds=86_400)
        self.tokens = Tokens(settings, KeyRing(database, settings))
        self.technician = self.actor(Role.TECHNICIAN)
        self.dispatcher = self.actor(Role.DISPATCHER)

    def actor(self, role: Role) -> Actor:
        return Actor(uuid4(), self.id, role, permissions_of(role), role in OFFICE)

    def bearer(self, actor: Actor) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.issue(actor)}"}

    async def fill(self) -> BenchOrganisation:
        await self.tokens.ring.ready()
        values = {
            "org": self.id, "records": self.records, "scopes": self.scopes, "name": NAME,
            "account": self.technician.id, "catalogue": self.records // 5,
        }  # fmt: skip
        await self._run(_FOUND + ";" + _RECORDS, values)
        await self.add_accounts([self.technician, self.dispatcher])
        return self

    async def add_accounts(self, actors: list[Actor], scopes: int = 0) -> None:
        """Add accounts that may sign in; technicians hold the catalogue and this many scopes, in turn."""
        accounts: list[dict[str, object]] = [
            {"org": self.id, "account": actor.id, "role": actor.role, "email": f"{actor.id}@demo.example"}
            for actor in actors
        ]
        async with self.database.writing(ACROSS) as session:
            await session.execute(text(_ACCOUNT), accounts)
            if scopes:
                ids = [actor.id for actor in actors]
                held = {"org": self.id, "own": self.technician.id, "held": scopes, "accounts": ids}
                await session.execute(text(_HELD), held)
            await session.commit()

    async def cursors(self, actors: list[Actor]) -> list[str]:
        """Return the cursors of devices that hold everything."""
        question = text("SELECT epoch, seq FROM head WHERE organisation_id = :org")
        async with self.database.reading(ACROSS) as session:
            epoch, seq = (await session.execute(question, {"org": self.id})).one()
        codec = CursorCodec(self.tokens.ring.cursor_keys)
        return [codec.encode(Cursor(epoch, seq), actor) for actor in actors]

    async def _run(self, statements: str, values: dict[str, object]) -> None:
        async with self.database.writing(ACROSS) as session:
            for statement in statements.split(";\n"):
                named = {key: value for key, value in values.items() if f":{key}" in statement}
                await session.execute(text(statement.replace('":[', '"\\:[')), named)
            await session.commit()
