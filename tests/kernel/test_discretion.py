"""What goes wrong in the database is told without the data that was at hand."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.house import House


async def test_the_error_of_a_statement_does_not_say_what_it_was_given(house: House) -> None:
    statement = text("SELECT nothing FROM nowhere WHERE email = :email")
    with pytest.raises(DBAPIError) as error:
        async with house.reading() as session:
            await session.execute(statement, {"email": "somebody@demo.example"})
    assert "nowhere" in str(error.value)
    assert "somebody" not in str(error.value)
