"""The practical limit of a push on PostgreSQL: the same work written by hand for one table.

One connection, 500 operations a transaction: read rows, check receipts, update rows, insert log and
receipts, update records, head row last. No permissions, no merge, no JSON, no HTTP.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg

from tests.support.postgres import libpq

RECORDS = 10_000

_TABLES = """
CREATE TABLE thing (organisation_id uuid, id uuid, name text, phone text, email text, notes text, tags text,
  PRIMARY KEY (organisation_id, id));
CREATE TABLE receipt (organisation_id uuid, id uuid, device_id uuid, payload_hash text, outcome text,
  received_at timestamptz, PRIMARY KEY (organisation_id, id));
CREATE TABLE change (organisation_id uuid, seq bigint, entity text, id uuid, command text, actor_id uuid,
  device_id uuid, operation_id uuid, fields text, before text, after text, occurred_at timestamptz,
  recorded_at timestamptz, PRIMARY KEY (organisation_id, seq));
CREATE INDEX ix_change_record ON change (organisation_id, id, seq);
CREATE TABLE record (organisation_id uuid, id uuid, entity text, seq bigint, deleted boolean, clock text,
  document text, PRIMARY KEY (organisation_id, id));
CREATE INDEX ix_record_feed ON record (organisation_id, seq);
CREATE TABLE head (organisation_id uuid PRIMARY KEY, seq bigint);
"""


def document(id: UUID, phone: str) -> str:
    fields = {"id": str(id), "name": "Demo Hotel", "phone": phone, "notes": "x" * 500, "tags": []}
    return orjson.dumps(fields).decode()


class RawPush:
    """A database with one table of things, and the transaction that changes 500 of them."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(libpq(url))
        self.organisation_id, self.device_id = uuid4(), uuid4()
        self.ids = [uuid4() for _ in range(RECORDS)]

    def fill(self) -> None:
        cursor = self.connection.cursor()
        cursor.execute(_TABLES)
        organisation = self.organisation_id
        things = "COPY thing (organisation_id, id, name, phone, email, notes, tags) FROM STDIN"
        with cursor.copy(things) as copy:
            for id in self.ids:
                copy.write_row((organisation, id, "Demo Hotel", "0", "a@demo.example", "x" * 500, "[]"))
        records = "COPY record (organisation_id, id, entity, seq, deleted, clock, document) FROM STDIN"
        with cursor.copy(records) as copy:
            for seq, id in enumerate(self.ids, 1):
                copy.write_row((organisation, id, "Thing", seq, False, "{}", document(id, "0")))
        cursor.execute("INSERT INTO head VALUES (%s, %s)", (organisation, len(self.ids)))
        self.connection.commit()
        self.connection.autocommit = True
        self.connection.execute("VACUUM ANALYZE")
        self.connection.autocommit = False

    def push(self, operations: int) -> None:
        organisation, device = self.organisation_id, self.device_id
        cursor = self.connection.cursor()
        ids = sorted(random.sample(self.ids, operations))
        named = [(uuid4(), id) for id in ids]
        cursor.execute(
            "SELECT * FROM thing WHERE organisation_id = %s AND id = ANY(%s) ORDER BY id FOR UPDATE",
            (organisation, ids),
        )
        assert len(cursor.fetchall()) == operations
        cursor.execute(
            "SELECT id, payload_hash FROM receipt WHERE organisation_id = %s AND id = ANY(%s)",
            (organisation, [operation for operation, _ in named]),
        )
        assert not cursor.fetchall()
        cursor.executemany(
            "UPDATE thing SET phone = %s, email = %s WHERE organisation_id = %s AND id = %s",
            [("1", "b@demo.example", organisation, id) for id in ids],
        )
        cursor.execute(
            "UPDATE head SET seq = seq + %s WHERE organisation_id = %s RETURNING seq",
            (operations, organisation),
        )
        (last,) = cursor.fetchone() or (0,)
        rows = [(last - operations + place, *pair) for place, pair in enumerate(named, 1)]
        self._log(cursor, rows)
        cursor.executemany(
            "UPDATE record SET seq = %s, clock = %s, document = %s WHERE organisation_id = %s AND id = %s",
            [
                (seq, f'{{"phone":[{seq},"{device}","{device}"]}}', document(id, "1"), organisation, id)
                for seq, _, id in rows
            ],
        )
        self.connection.commit()

    def _log(self, cursor: psycopg.Cursor[Any], rows: list[tuple[int, UUID, UUID]]) -> None:
        organisation, device, at = self.organisation_id, self.device_id, datetime.now(UTC)
        before, after = '{"phone":"0","email":"a@demo.example"}', '{"phone":"1","email":"b@demo.example"}'
        cursor.executemany(
            "INSERT INTO change VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    *(organisation, seq, "Thing", id, "updateThing", device, device, operation),
                    *('["phone","email"]', before, after, at, at),
                )
                for seq, operation, id in rows
            ],
        )
        cursor.executemany(
            "INSERT INTO receipt VALUES (%s, %s, %s, %s, %s, %s)",
            [
                (organisation, operation, device, "0" * 64, f'{{"status":"applied","seq":{seq}}}', at)
                for seq, operation, _ in rows
            ],
        )

    def close(self) -> None:
        self.connection.close()
