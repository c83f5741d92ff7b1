import pytest_asyncio

from tests.support.clashes import Clashes
from tests.support.house import House
from tests.support.world import World


@pytest_asyncio.fixture
async def clashes(house: House) -> Clashes:
    """A customer with a site, a technician who is away with a device, and ways to clash with them."""
    return await Clashes(await World(house).settle()).begin()
