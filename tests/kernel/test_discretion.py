"""Database errors are reported without the data involved."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.house import House


async def test_a_statements_error_does_not_reveal_its_parameters(house: House) -> None:
    statement = text("SELECT nothing FROM nowhere WHERE email = :email")
    with pytest.raises(DBAPIError) as error:
        async with house.reading() as session:
            await session.execute(statement, {"email": "somebody@demo.example"})
    assert "nowhere" in str(error.value)
    assert "somebody" not in str(error.value)
