import pytest_asyncio

from tests.stock.shop import Shop
from tests.support.house import House


@pytest_asyncio.fixture
async def shop(house: House) -> Shop:
    """A warehouse and a part, and nobody to use it yet."""
    return await Shop(house).open()
