import pytest_asyncio

from tests.conflicts.clashes import Clashes
from tests.house import House
from tests.work.world import World


@pytest_asyncio.fixture
async def clashes(house: House) -> Clashes:
    """A customer with a site, a technician who is away with a device, and ways to clash with them."""
    return await Clashes(await World(house).settle()).begin()
