"""Fixtures that several API tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.demo import demo_house
from tests.support.house import House
from tournee.engine.database import Database
from tournee.kernel.command import Kernel

_HOUSES: dict[str, tuple[House, House]] = {}


@pytest_asyncio.fixture
async def houses(database: Database) -> AsyncIterator[tuple[House, House]]:
    """Return our organisation and another one; made once for the module, which does not change them."""
    if database.url not in _HOUSES:
        _HOUSES[database.url] = (
            await demo_house(await House(database).found()),
            await demo_house(await House(database).found()),
        )
    pair = _HOUSES[database.url]
    for house in pair:
        house.database = database
        house.kernel = Kernel(database, house.kernel.rules)
    yield pair
