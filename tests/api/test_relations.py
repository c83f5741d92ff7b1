"""Filters and orders through relations, by the executor and by the read engine alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.support.ask import answer, ask
from tests.support.comparing import Comparing
from tests.support.house import House
from tests.support.questions import Query
from tests.support.world import Technician, World, at
from tournee.kernel.actor import Actor


@dataclass
class Board:
    """Orders A to D with a visit each but D. The first technician goes to A and B, the second to B; nobody
    goes to C.
    """

    world: World
    first: Technician
    second: Technician
    names: dict[str, str]

    async def found(self, document: str, actor: Actor, **variables: Any) -> Any:
        comparing = Comparing(self.world.house)
        got = await comparing.compare(Query(document, variables), actor)
        assert comparing.lanes["left"] == 0
        assert not got.errors, got.errors
        return got.data

    async def orders(self, *given: Any, actor: Actor | None = None) -> list[str]:
        """Return for each filter the letters of the orders that meet it, all by one query."""
        declared = ", ".join(f"$f{number}: WorkOrderFilter" for number in range(len(given)))
        lists = " ".join(f"f{number}: {_ORDERS.replace('$f', f'$f{number}')}" for number in range(len(given)))
        filters = {f"f{number}": one for number, one in enumerate(given)}
        asker = actor or self.world.house.actor("MANAGER")
        data = await self.found(f"query ({declared}) {{ {lists} }}", asker, **filters)
        pages = [data[f"f{number}"] for number in range(len(given))]
        assert all(page["totalCount"] == len(page["nodes"]) for page in pages)
        return ["".join(node["summary"] for node in page["nodes"]) for page in pages]


_ORDERS = "workOrders(filter: $f, first: 20, orderBy: [{summary: ASC}]) { nodes { summary } totalCount }"


@pytest_asyncio.fixture
async def board(house: House) -> Board:
    world = await World(house).settle()
    other = await house.run("createCustomer", name="Demo Hospital", notes="secret", tags=["vip", "24h"])
    far = await house.run("createSite", customerId=other.id, name="Demo Hill", city="Hillside")
    first, second = await world.technician(), await world.technician()
    orders = {
        "A": await world.order(summary="A", priority="HIGH"),
        "B": await world.order(summary="B", priority="LOW", customerId=other.id, siteId=far.id),
        "C": await world.order(summary="C", priority="URGENT", customerId=other.id, siteId=None),
        "D": await world.order(summary="D", customerId=other.id, siteId=far.id),
    }
    await world.visit(first, order=orders["A"], summary="A")
    await world.visit(first, second, order=orders["B"], summary="B")
    await world.visit(order=orders["C"], summary="C", startsAt=at(10))
    return Board(world, first, second, {"other": str(other.id), **{k: str(v.id) for k, v in orders.items()}})


def _goes(id: Any) -> Any:
    return {"assignments": {"some": {"technicianId": {"eq": str(id)}}}}


async def test_depth_and_number_of_relations_are_bounded(house: House) -> None:
    def deep(levels: int) -> Any:
        return {"parent": deep(levels - 1)} if levels else {}

    document = "query ($f: WorkOrderFilter) { workOrders(filter: $f) { nodes { id } } }"
    some = [{"site": {}}]
    for allowed, refused in ((deep(3), deep(4)), ({"or": some * 10}, {"or": some * 11})):
        assert not (await answer(house, document, f=allowed)).errors
        assert (await answer(house, document, f=refused)).codes == ["LIMIT_EXCEEDED"]
    document = "query ($o: [WorkOrderOrder!]) { workOrders(orderBy: $o) { nodes { id } } }"
    for levels, codes in ((3, []), (4, ["LIMIT_EXCEEDED"])):
        order: Any = {"summary": "ASC"}
        for _ in range(levels):
            order = {"parent": order}
        assert (await answer(house, document, o=[order])).codes == codes


@pytest.mark.slow("Two dozen filters, compiled and executed.")
async def test_filters_go_through_relations(board: Board) -> None:
    first, second = board.first.id, board.second.id
    expected: list[tuple[Any, str]] = [
        ({"site": {"city": {"eq": "Hillside"}}}, "BD"),
        ({"site": {}}, "ABD"),
        ({"site": None}, "ABCD"),
        ({"not": {"site": {}}}, "C"),
        ({"not": {"site": {"city": {"eq": "Hillside"}}}}, "AC"),
        ({"customer": {"name": {"contains": "hosp"}}, "priority": {"gte": "NORMAL"}}, "CD"),
        ({"appointments": {"some": {}}}, "ABC"),
        ({"appointments": {"none": {}}}, "D"),
        ({"appointments": {"every": {"summary": {"eq": "A"}}}}, "AD"),
        ({"appointments": {"some": _goes(first)}}, "AB"),
        ({"appointments": {"some": {"and": [_goes(first), _goes(second)]}}}, "B"),
        ({"appointments": {"some": {}, "none": _goes(first)}}, "C"),
        ({"or": [{"site": {"name": {"eq": "Demo Harbour"}}}, {"appointments": {"none": {}}}]}, "AD"),
        ({"appointments": None}, "ABCD"),
        ({"appointments": {}}, "ABCD"),
        ({"appointments": {"some": None}}, "ABCD"),
        ({"customer": {"tags": {"has": "vip"}}}, "BCD"),
        ({"customer": {"tags": {"hasEvery": ["vip", "24h"]}}}, "BCD"),
        ({"customer": {"tags": {"hasEvery": ["vip", "x"]}}}, ""),
        ({"customer": {"tags": {"hasSome": ["x", "24h"]}}}, "BCD"),
        ({"customer": {"tags": {"hasSome": []}}}, ""),
        ({"customer": {"tags": {"hasEvery": []}}}, "ABCD"),
        ({"customer": {"tags": {"has": "VIP"}}}, ""),
        ({"reportedBy": {}}, ""),
    ]
    found = await board.orders(*(given for given, _ in expected))
    assert list(zip([given for given, _ in expected], found, strict=True)) == expected


async def test_what_is_not_visible_meets_no_condition(board: Board) -> None:
    second = board.second.actor
    customers = """query ($f: CustomerFilter) { customers(filter: $f) { nodes { id } totalCount } }"""

    async def found(given: Any, actor: Actor) -> int:
        data = await board.found(customers, actor, f={"workOrders": given})
        assert len(data["customers"]["nodes"]) == data["customers"]["totalCount"]
        return int(data["customers"]["totalCount"])

    # The second technician sees the customer of B, and of its orders only B.
    for given, seen, of_all in (
        ({"some": {"summary": {"eq": "B"}}}, 1, 1),
        ({"some": {"summary": {"eq": "C"}}}, 0, 1),
        ({"none": {"priority": {"eq": "URGENT"}}}, 1, 1),
        ({"every": {"summary": {"eq": "B"}}}, 1, 0),
    ):
        assert await found(given, second) == seen, given
        assert await found(given, board.world.house.actor("MANAGER")) == of_all, given
    hidden = {"customer": {"workOrders": {"some": {"summary": {"eq": "C"}}}}}
    assert await board.orders(hidden, actor=second) == [""]


async def test_what_may_not_be_read_is_not_compared_through_relations_either(board: Board) -> None:
    house = board.world.house
    portal = await house.account("CUSTOMER_PORTAL", customerId=board.names["other"])
    for actor, arguments in (
        (portal, 'filter: {customer: {notes: {contains: "secret"}}}'),
        (portal, 'filter: {customer: {tags: {has: "vip"}}}'),
        (portal, "orderBy: [{customer: {notes: ASC}}]"),
        (portal, "filter: {appointments: {some: {events: {some: {}}}}}"),
    ):
        text = f"{{ workOrders({arguments}) {{ nodes {{ id }} }} }}"
        comparing = Comparing(house)
        found = await comparing.compare(Query(text, {}), actor)
        assert found.codes == ["BAD_USER_INPUT"], (arguments, found)
        assert "You may not read" in found.errors[0]["message"]
        assert not (await answer(house, text, "MANAGER")).errors


VISITS = """
query ($o: [AppointmentOrder!], $first: Int, $after: String, $last: Int, $before: String) {
  appointments(orderBy: $o, first: $first, after: $after, last: $last, before: $before) {
    nodes { summary } edges { cursor } pageInfo { hasNextPage endCursor hasPreviousPage startCursor }
  }
}
"""


@pytest.mark.parametrize(
    ("order", "letters"),
    [
        ([{"workOrder": {"priority": "DESC"}}], "CAB"),
        ([{"workOrder": {"priority": "ASC"}}], "BAC"),
        ([{"site": {"name": "ASC"}}, {"summary": "ASC"}], "ABC"),
        ([{"site": {"name": "DESC"}}], "BAC"),
        ([{"workOrder": {"customer": {"name": "ASC"}}}, {"summary": "DESC"}], "CBA"),
    ],
)
async def test_orders_go_through_relations_and_page_both_ways(board: Board, order: Any, letters: str) -> None:
    actor = board.world.house.actor("MANAGER")
    for forward in (True, False):
        gathered, cursor = "", None
        for _ in letters:
            given: dict[str, Any] = (
                {"first": 1, "after": cursor} if forward else {"last": 1, "before": cursor}
            )
            page = (await board.found(VISITS, actor, o=order, **given))["appointments"]
            (node,) = page["nodes"]
            gathered = gathered + node["summary"] if forward else node["summary"] + gathered
            cursor = page["pageInfo"]["endCursor" if forward else "startCursor"]
        assert gathered == letters
        assert not page["pageInfo"]["hasNextPage" if forward else "hasPreviousPage"]


async def test_hidden_rows_sort_last(board: Board) -> None:
    text = """query ($o: [WorkOrderOrder!]) {
      workOrders(orderBy: $o) { edges { cursor node { summary } } } }"""
    # E follows up C, which the technician does not see.
    for summary, parent in (("E", "C"), ("F", "B")):
        order = await board.world.order(summary=summary, parentId=board.names[parent])
        await board.world.visit(board.second, order=order)
    for actor, ascending, descending in (
        (board.second.actor, "FBE", "FBE"),
        (board.world.house.actor("MANAGER"), "FEABCD", "EFABCD"),
    ):
        for direction, letters in (("ASC", ascending), ("DESC", descending)):
            terms = [{"parent": {"summary": direction}}, {"summary": "ASC"}]
            edges = (await board.found(text, actor, o=terms))["workOrders"]["edges"]
            assert "".join(edge["node"]["summary"] for edge in edges) == letters


async def test_enums_sort_as_they_are_declared(board: Board) -> None:
    text = """query ($o: [WorkOrderOrder!], $after: String) {
      workOrders(orderBy: $o, first: 3, after: $after) { nodes { summary } pageInfo { endCursor } } }"""
    actor = board.world.house.actor("MANAGER")
    for direction, letters in (("ASC", "BDAC"), ("DESC", "CADB")):
        order = [{"priority": direction}]
        page = (await board.found(text, actor, o=order))["workOrders"]
        rest = (await board.found(text, actor, o=order, after=page["pageInfo"]["endCursor"]))["workOrders"]
        assert "".join(node["summary"] for node in page["nodes"] + rest["nodes"]) == letters
    given = [{"gt": "NORMAL"}, {"lt": "NORMAL"}, {"gte": "HIGH", "lt": "URGENT"}, {"lte": "NORMAL"}]
    assert await board.orders(*({"priority": one} for one in given)) == ["AC", "B", "A", "BD"]


async def test_a_cursor_of_an_enum_in_the_order_of_its_names_is_refused(house: House) -> None:
    # As the server made them when it sorted by name.
    old = "WyJhYTgzMTIxMyIsIkhJR0giLCIwMTljMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAiXQ"
    text = "query ($after: String) { workOrders(orderBy: [{priority: ASC}], after: $after) { nodes { id } } }"
    assert (await answer(house, text, after=old)).codes == ["INVALID_CURSOR"]
    await ask(house, text)
