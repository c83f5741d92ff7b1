"""Helpers to run an import in a test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, select

from tests.support.house import House
from tournee.importing.command import Options, run_import
from tournee.importing.mapping import load_mapping
from tournee.importing.reporting import Tally
from tournee.importing.targets import record_id
from tournee.kernel.log import Change, Edge, Record

HERE = Path(__file__).parent
ELEVATORS = HERE.parent.parent / "mappings" / "nyc_elevators.toml"
SAMPLE = HERE / "sample.csv"


@dataclass
class Imported:
    """What an import counted and reported."""

    tally: Tally
    report: list[dict[str, Any]]

    def made(self, outcome: str = "created") -> dict[str, int]:
        return {label: count for (label, kind), count in self.tally.counts.items() if kind == outcome}

    def remarks(self, line: int) -> list[tuple[str, str]]:
        return [(one["column"], one["reason"]) for one in self.report if one["line"] == line]


@dataclass
class Importer:
    """Imports into an organisation; writes files and mappings where the test says."""

    house: House
    folder: Path
    role: str = "MANAGER"

    async def file(self, file: Path, mapping: Path, **options: Any) -> Imported:
        report = self.folder / "report.jsonl"
        actor = self.house.actor(self.role)
        given = Options(file, mapping, report=report, **options)
        tally = await run_import(self.house.kernel, actor, load_mapping(mapping), given)
        return Imported(tally, [orjson.loads(line) for line in report.read_bytes().splitlines()])

    async def elevators(self, file: Path = SAMPLE, **options: Any) -> Imported:
        return await self.file(file, ELEVATORS, **options)

    async def text(self, text: str | bytes, mapping: str, name: str = "file.csv", **options: Any) -> Imported:
        file = self.folder / name
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        (self.folder / "mapping.toml").write_text(mapping, "utf-8")
        return await self.file(file, self.folder / "mapping.toml", **options)

    def id(self, entity: str, key: str, system: str = "nyc-dob-elevators") -> UUID:
        return record_id(self.house.organisation_id, system, entity, key)

    async def row(self, model: Any, key: str, system: str = "nyc-dob-elevators") -> Any:
        async with self.house.reading() as session:
            id = self.id(model.__name__, key, system)
            return await session.get(model, (self.house.organisation_id, id))

    async def count(self, model: Any) -> int:
        own = model.organisation_id == self.house.organisation_id
        async with self.house.reading() as session:
            return await session.scalar(select(func.count()).select_from(model).where(own)) or 0

    async def log_length(self) -> int:
        return await self.count(Change)

    async def documents(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return every record of the organisation as served, without values that differ between runs."""
        async with self.house.reading() as session:
            rows = await session.execute(
                select(Record.entity, Record.document).where(
                    Record.organisation_id == self.house.organisation_id
                )
            )
            return {
                (entity, document["externalKey"]): _without_ids(document)
                for entity, text in rows
                if (document := orjson.loads(text))
            }

    async def stored(self) -> list[str]:
        """Return the organisation's log, records and edges without times and ids."""
        columns = {
            Change: ("entity", "id", "command", "actor_id", "fields", "before", "after"),
            Record: ("entity", "id", "deleted", "clock", "document"),
            Edge: ("record_id", "open", "scope"),
        }
        ids: dict[str, str] = {str(self.house.actor(self.role).id): "actor"}
        found: list[str] = []
        for model, names in columns.items():
            table: Any = model.__table__
            statement = select(table.c.seq, *(table.c[name] for name in names)).order_by(table.c.seq)
            async with self.house.reading() as session:
                own = table.c.organisation_id == self.house.organisation_id
                texts = [str(tuple(row)) for row in await session.execute(statement.where(own))]
            # The log comes first and numbers the ids in their order.
            found += sorted(_UUID.sub(partial(_named, ids), _TIME.sub("T", text)) for text in texts)
        return found


# Times of this run; those of the register have no fractions.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def _named(ids: dict[str, str], found: re.Match[str]) -> str:
    return ids.setdefault(found[0], f"id {len(ids)}")


def _without_ids(document: dict[str, Any]) -> dict[str, Any]:
    """Replace ids and times, which differ between organisations."""
    return {name: value for name, value in document.items() if name != "createdAt" and not _is_id(name)}


def _is_id(name: str) -> bool:
    return name == "id" or name.endswith("Id")


def lines(*rows: Sequence[str]) -> str:
    return "".join(",".join(row) + "\n" for row in rows)


CUSTOMERS = """
system = "billing"
[[record]]
entity = "Customer"
key = "{No}"
[record.fields]
name = "Company"
email = "Mail"
notes = "Remark"
"""


async def all_of(importer: Importer, model: Any) -> list[Any]:
    async with importer.house.reading() as session:
        own = model.organisation_id == importer.house.organisation_id
        return list(await session.scalars(select(model).where(own).order_by(model.created_at, model.id)))
