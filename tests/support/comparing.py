"""The read engine and the executor, asked the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson

from tests.support.ask import Answer, answer
from tests.support.house import House
from tests.support.questions import Query
from tournee.api.context import Context
from tournee.api.reading.engine import Reads
from tournee.api.requests import Asked
from tournee.api.schema import schema
from tournee.catalogue import ENTITIES
from tournee.kernel.actor import Actor
from tournee.sync.pull.feed import Feed


class Comparing:
    """Asks the engine and the executor the same."""

    def __init__(self, house: House) -> None:
        self.house = house
        # From the first time, so that every query is compared.
        self.reads = Reads(house.kernel, schema()._schema, times=1)
        self.feed = Feed(house.database, tuple(ENTITIES.values()))
        self.lanes: Counter[str] = Counter()

    async def engine(self, text: str, actor: Actor, variables: dict[str, Any]) -> Any:
        """Return the engine's data; None where it leaves the answer to the executor."""
        context = Context(self.house.kernel, actor, self.feed)
        body = await self.reads.answer(Asked(text, variables, None), context)
        return None if body is None else orjson.loads(body)["data"]

    async def compare(self, query: Query, actor: Actor) -> Answer:
        ordinary = await answer(self.house, query.text, actor, **query.variables)
        found = await self.engine(query.text, actor, query.variables)
        if found is None:
            self.lanes["refused" if ordinary.errors else "left"] += 1
        else:
            self.lanes["engine"] += 1
            assert not ordinary.errors, (query, ordinary.errors)
            # What leaves the server is JSON.
            assert found == orjson.loads(orjson.dumps(ordinary.data)), query
        return ordinary
