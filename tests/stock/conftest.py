import pytest_asyncio

from tests.stock.shop import Shop
from tests.support.house import House


@pytest_asyncio.fixture
async def shop(house: House) -> Shop:
    """Return a warehouse and a part, without technicians."""
    return await Shop(house).open()
