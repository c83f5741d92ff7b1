import pytest_asyncio

from tests.support.house import House
from tests.support.world import World


@pytest_asyncio.fixture
async def world(house: House) -> World:
    """Return a customer with a site, without technicians."""
    return await World(house).settle()
