import pytest_asyncio

from tests.house import House
from tests.stock.shop import Shop


@pytest_asyncio.fixture
async def shop(house: House) -> Shop:
    """A warehouse and a part, and nobody to use it yet."""
    return await Shop(house).open()
