import pytest_asyncio

from tests.support.clashes import Clashes
from tests.support.house import House
from tests.support.world import World


@pytest_asyncio.fixture
async def clashes(house: House) -> Clashes:
    """Return a customer with a site, an offline technician with a device, and ways to make conflicts."""
    return await Clashes(await World(house).settle()).begin()
