import pytest_asyncio

from tests.support.house import House
from tests.support.world import World


@pytest_asyncio.fixture
async def world(house: House) -> World:
    """A customer with a site, and nobody to serve it yet."""
    return await World(house).settle()
