"""Searching a million records: the first page as a dispatcher and as a technician, on both databases.

The rows are written straight into their tables, in the form that commands write. Queries are what people
type: a number, a phone number, the beginning of a name, a word that many records have, two words. Each is
answered with the rows that it found, by the whole of GraphQL, without HTTP.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.bench.figures import Figure
from tests.support import migrate
from tests.support.ask import ask
from tests.support.house import House
from tests.support.postgres import create_database, postgres
from tournee.assets.models import Asset
from tournee.customers.models import Contact, Customer, Site
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Entity, new_id, now
from tournee.kernel.log import Edge, Member
from tournee.kernel.search_term import SearchTerm
from tournee.stock.models import Part
from tournee.work.models import WorkOrder

RECORDS, QUERIES, PORTION, SCOPES = 1_000_000, 400, 5_000, 400
# Of a hundred records.
_SHARES: dict[type[Entity], int] = {Customer: 15, Contact: 15, Site: 20, Asset: 30, WorkOrder: 19, Part: 1}
_KINDS = ("Hotel", "Klinik", "Bäckerei", "Schule", "Werk", "Büro", "Lager", "Praxis", "Hostel", "Markt")
_FORMS = ("GmbH", "AG", "e.V.", "KG", "SA", "& Söhne")
_MAKERS = ("Schindler", "Otis", "Thyssen", "Kone", "Wittur", "Ziehl")
_WORKS = ("Wartung", "Störung", "Prüfung", "Umbau", "Türantrieb", "Notruf", "Kältemittel", "Pumpe")
_SYLLABLES = (
    "mül",
    "ber",
    "hof",
    "sten",
    "grü",
    "wald",
    "nau",
    "ros",
    "kla",
    "dor",
    "fel",
    "tan",
    "ziß",
    "øst",
)
_SEARCH = """query ($query: String!) { search(query: $query) { kind recordId title node { id } } }"""


class _Words:
    """Words as an organisation has them: some hundred are common, and new ones never end."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def name(self) -> str:
        # Half of the names are of some hundred, the others of some thousand.
        length = self.chance.choice((2, 2, 3, 4))
        return "".join(self.chance.choices(_SYLLABLES, k=length)).capitalize()

    def city(self) -> str:
        return _SYLLABLES[int(self.chance.triangular(0, len(_SYLLABLES) - 1, 0))].capitalize() + "stadt"

    def digits(self, count: int) -> str:
        return str(self.chance.randrange(10 ** (count - 1), 10**count))

    def fields(self, model: type[Entity], n: int) -> dict[str, Any]:
        pick = self.chance.choice
        if model is Customer:
            name = f"{pick(_KINDS)} {self.name()} {pick(_FORMS)}"
            return {"name": name, "phone": f"0{self.digits(2)} / {self.digits(7)}"} | _CUSTOMER
        if model is Contact:
            name = f"{self.name()} {self.name()}"
            mail = f"{n}@{self.name().lower()}.example"
            return {"name": name, "mobile": f"+49 17{self.digits(9)}", "email": mail} | _CONTACT
        if model is Site:
            street = f"{self.name()}straße {self.digits(2)}"
            place = {"street": street, "postal_code": self.digits(5), "city": self.city()}
            return {"name": f"{pick(_KINDS)} {self.name()}", **place} | _SITE
        if model is Asset:
            number = f"{pick('ABCDEF')}{self.digits(3)}-{n:07}"
            return {
                "name": f"Aufzug {n % 9}",
                "serial_number": number,
                "manufacturer": pick(_MAKERS),
            } | _ASSET
        if model is Part:
            return {"number": f"T-{n}", "name": f"{pick(_WORKS)} {self.name()}"} | _PART
        return {"number": f"WO-{n}", "summary": f"{pick(_WORKS)} {self.name()}"} | _ORDER

    def query(self) -> str:
        pick = self.chance.choice
        part = self.name()
        return str(
            pick(
                (
                    f"WO-{self.chance.randrange(RECORDS // 5)}",
                    f"{pick('ABCDEF')}{self.digits(3)}",
                    f"+49 17{self.digits(4)}",
                    part[: pick((1, 2, 3, 5))],
                    pick(_KINDS),
                    f"{pick(_KINDS)} {part}",
                    f"{pick(_KINDS)} gmbh",
                    f"{pick(_WORKS)} {part[:4]}",
                    f"{part}strasse {self.city()}",
                    "aufzug otis",
                    "hotel zzz",
                    f"{pick(_MAKERS)[:4]} {n}" if (n := self.digits(1)) else "",
                )
            )
        )


_CUSTOMER = {"kind": "ORGANISATION", "status": "ACTIVE", "tags": []}
_CONTACT = {"consents_to_marketing": False}
_SITE = {"time_zone": "UTC"}
_ASSET = {
    "ownership": "CUSTOMER",
    "kind": "EQUIPMENT",
    "status": "ACTIVE",
    "criticality": "MEDIUM",
    "specification": dict[str, str](),
}
_PART = {"unit": "PIECE", "serialised": False, "discontinued": False}
_ORDER = {"kind": "OTHER", "priority": "NORMAL", "status": "NEW", "required_skill_ids": []}


class _Filled:
    """An organisation with these records, and a technician who sees some of them."""

    def __init__(self, database: Database, records: int) -> None:
        self.house = House(database)
        self.records = records
        self.words = _Words(1)
        self.ids: dict[type[Entity], list[UUID]] = {}

    async def fill(self) -> _Filled:
        await self.house.found()
        self.dispatcher = self.house.actor("DISPATCHER")
        self.technician = self.house.actor("TECHNICIAN")
        for model, share in _SHARES.items():
            self.ids[model] = []
            numbers = iter(range(self.records * share // 100))
            while some := list(islice(numbers, PORTION)):
                await self._write(model, [self._row(model, n) for n in some])
        await self._show()
        await self.house.database.analyse()
        return self

    def _row(self, model: type[Entity], n: int) -> dict[str, Any]:
        own: dict[str, Any] = {"id": new_id(), **self.words.fields(model, n)}
        customers = self.ids[Customer]
        if model in (Contact, Site, Asset, WorkOrder):
            own["customer_id"] = customers[n % len(customers)]
        if model is WorkOrder:
            own["reported_by_id"] = self.dispatcher.id
        self.ids[model].append(own["id"])
        return own

    async def _write(self, model: type[Entity], rows: list[dict[str, Any]]) -> None:
        searched = model.searched
        assert searched is not None
        terms = [
            {"kind": model.__name__, "record_id": row["id"], "whole": whole, "text": text}
            for row in rows
            for whole, text in searched.terms(row.get)
        ]
        async with self.house.database.writing(self.house.organisation_id) as session:
            same = {"created_at": now(), "deleted": False}
            await session.statements.insert_many(model.__table__, rows, same)
            await session.statements.insert_many(SearchTerm.__table__, terms)
            await session.commit()

    async def _show(self) -> None:
        """Give the technician some records of each kind."""
        seen = [id for ids in self.ids.values() for id in ids[:: max(1, len(ids) // SCOPES)]]
        async with self.house.database.writing(self.house.organisation_id) as session:
            edges = [{"scope": id, "record_id": id, "seq": 1, "open": True} for id in seen]
            members = [{"account_id": self.technician.id, "scope": id, "from_seq": 1} for id in seen]
            await session.statements.insert_many(Edge.__table__, edges)
            await session.statements.insert_many(Member.__table__, members)
            await session.commit()

    async def measure(self, actor: Actor, queries: list[str]) -> float:
        """Return the 95th percentile of these queries in milliseconds."""
        taken: list[tuple[float, str, int]] = []
        for query in queries:
            started = time.perf_counter()
            answer = await ask(self.house, _SEARCH, actor, query=query)
            taken.append(((time.perf_counter() - started) * 1000, query, len(answer["search"])))
        return statistics.quantiles([one for one, _, _ in taken], n=20)[-1]


async def _figures(prefix: str, url: str, records: int) -> list[Figure]:
    database = Database(url)
    started = time.perf_counter()
    filled = await _Filled(database, records).fill()
    took = time.perf_counter() - started
    queries = [filled.words.query() for _ in range(QUERIES)]
    # Not counted: the statements are made, and the pages read that others would have read.
    await filled.measure(filled.dispatcher, queries[:100])
    office = await filled.measure(filled.dispatcher, queries)
    await filled.measure(filled.technician, queries[:100])
    field = await filled.measure(filled.technician, queries)
    await database.close()
    return [
        Figure(f"{prefix}search_million_p95_ms", office, "ms"),
        Figure(f"{prefix}search_million_technician_p95_ms", field, "ms"),
        Figure(f"{prefix}search_million_fill_s", took, "s"),
    ]


async def searching(records: int = RECORDS) -> list[Figure]:
    with postgres(durable=True) as server:
        url = create_database(server, "search")
        migrate.upgrade(url)
        figures = await _figures("", url, records)
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'search.db'}"
        migrate.upgrade(url)
        return [*figures, *await _figures("sqlite_", url, records)]
