"""An integer may be written as a float without a fraction, in commands as in GraphQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLError, GraphQLInt

from tournee.kernel.errors import Invalid
from tournee.kernel.inputs import UNSET, Unset, parse, parse_many


@dataclass(frozen=True)
class Line:
    quantity: int
    price: float = 0.0


@dataclass(frozen=True)
class Order:
    id: UUID
    lines: list[Line]
    number: int | None = None
    percent: int | Unset = UNSET


ID = "019ab2c4-0000-7000-8000-000000000000"
VALUES: list[Any] = [0, -5, 5.0, -5.0, -0.0, 2.0**31, 2.0**53, 1e300, 5.5, True, "5", None, [], 2**31]


@pytest.mark.parametrize("value", VALUES, ids=map(repr, VALUES))
def test_an_input_accepts_the_integers_that_graphql_accepts(value: Any) -> None:
    try:
        expected: Any = GraphQLInt.parse_value(value)
    except GraphQLError:
        expected = None
    try:
        taken: Any = parse(Line, {"quantity": value}).quantity
    except Invalid:
        taken = None
    assert (taken, type(taken)) == (expected, type(expected))


def test_integers_are_accepted_at_any_depth_and_the_sent_document_is_unchanged() -> None:
    sent = {
        "id": ID,
        "lines": [{"quantity": 1.0, "price": 3.0}, {"quantity": 2}],
        "number": 7.0,
        "percent": 8.0,
    }
    made = parse(Order, sent)
    assert made == Order(UUID(ID), [Line(1, 3.0), Line(2)], 7, 8)
    assert [type(one) for one in (made.lines[0].quantity, made.number, made.percent)] == [int] * 3
    assert repr(sent["lines"]) == "[{'quantity': 1.0, 'price': 3.0}, {'quantity': 2}]"
    assert parse_many(Order, [sent, sent]) == [made, made]


def test_every_wrong_field_is_named_once() -> None:
    sent = {
        "id": "x",
        "lines": [{"quantity": 1.0}, {"quantity": 1.5, "price": "a"}, 7],
        "number": [],
        "more": 1,
    }
    with pytest.raises(Invalid) as refused:
        parse(Order, sent)
    named = ("id", "lines.1.price", "lines.1.quantity", "lines.2", "more", "number")
    assert tuple(sorted(refused.value.fields)) == named
    assert refused.value.field == refused.value.fields[0]
    assert all(f"{field}: " in refused.value.message for field in named)


def test_the_number_of_named_fields_is_bounded() -> None:
    with pytest.raises(Invalid) as refused:
        parse(Line, {"quantity": 1} | {f"{place}" + "x" * 1000: 1 for place in range(1000)})
    assert len(refused.value.fields) == 20
    assert len(refused.value.message) < 6000
