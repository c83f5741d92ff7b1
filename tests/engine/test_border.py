"""A statement without the organisation reaches no other one's rows, or is refused, on both databases.

On PostgreSQL the tests connect as a role exempt from row-level security, so that cannot help.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    column,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    make_url,
    not_,
    or_,
    select,
    table,
    text,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from tests.support.house import House
from tournee.auth.models import RefreshToken
from tournee.customers.models import Customer
from tournee.engine.border import BorderCrossed, OwnText
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import Organisation, now
from tournee.kernel.log import Edge, Head, Member, Record
from tournee.sync.models import DeviceState

SCOPE = uuid4()
ACCOUNT = uuid4()
SHARED = uuid4()


class Pair:
    """Two organisations of one database whose rows have the same ids."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.ours, self.theirs = House(database), House(database)

    async def found(self) -> Pair:
        for house in (self.ours, self.theirs):
            await house.found()
            async with house.writing() as session:
                own = {"organisation_id": house.organisation_id}
                at = {"id": SHARED, "seq": 1, "document": str(house.organisation_id), "clock": "{}"}
                for model, row in (
                    (Record, {"entity": "Customer", "deleted": False, **at}),
                    (Edge, {"scope": SCOPE, "record_id": SHARED, "seq": 1, "open": True}),
                    (Member, {"account_id": ACCOUNT, "scope": SCOPE, "from_seq": 1}),
                ):
                    await session.execute(insert(model.__table__).values(**own, **row))
                session.info["command"] = "test"
                session.add(
                    Customer(
                        **own, id=SHARED, name=str(house.organisation_id), created_at=now(), deleted=False
                    )
                )
                await session.commit()
        return self

    async def rows(self, house: House) -> list[Any]:
        """Return all rows of an organisation in the tables used here, past the border."""
        async with self.database.reading(ACROSS) as session:
            found: list[Any] = []
            for model in (Head, Record, Edge, Member, Customer, DeviceState):
                rows: Any = model.__table__
                own = select(rows).where(rows.c.organisation_id == house.organisation_id)
                found += [tuple(row) for row in await session.execute(own)]
            return found


@pytest_asyncio.fixture(scope="module")
async def powerful(module_database: Database) -> AsyncIterator[Database]:
    """Open the database as a role that its policies do not bind."""
    if module_database.is_sqlite:
        yield module_database
        return
    url = make_url(module_database.url).set(username="postgres").render_as_string(hide_password=False)
    opened = Database(url)
    assert await opened.passes_policies()
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def pair(powerful: Database) -> Pair:
    return await Pair(powerful).found()


def seen(edge: Any = Edge, member: Any = Member) -> ColumnElement[bool]:
    """Return the join of edge and member without an organisation, as it must not be written."""
    return exists(
        select(1)
        .select_from(edge)
        .join(member, member.scope == edge.scope)
        .where(edge.record_id == Record.id)
    )


def walk() -> Any:
    """Return the statement behind a page of a first pull."""
    own = select(Member.scope).where(Member.account_id == ACCOUNT).subquery("held")
    lying = select(own.c.scope, Edge.record_id.label("id")).join_from(own, Edge, Edge.scope == own.c.scope)
    found = lying.order_by("scope").limit(10).subquery("next_ones")
    place = select(found, func.row_number().over(order_by=found.c.id).label("n")).cte("place")
    rows = select(Record.organisation_id, Record.document, place.c.n)
    other, holder = aliased(Edge), aliased(Member)
    before = exists(
        select(1)
        .select_from(other)
        .join(holder, holder.scope == other.scope)
        .where(other.record_id == place.c.id, other.scope < place.c.scope)
    )
    return rows.join_from(place, Record, Record.id == place.c.id).where(~before)


def branches() -> Any:
    """Return the statement behind a page of the feed."""

    def branch(*where: Any) -> Any:
        columns = select(Edge.record_id.label("record_id"), Edge.seq.label("position"))
        return columns.select_from(Member).join(Edge, Member.scope == Edge.scope).where(*where)

    moved = union_all(branch(Edge.seq > 0), branch(Edge.open.is_(True))).subquery("moved")
    latest = (
        select(func.max(moved.c.position).label("position"), moved.c.record_id)
        .join(Record, Record.id == moved.c.record_id)
        .group_by(moved.c.record_id)
        .subquery("latest")
    )
    shown = case((seen(), Record.document), else_=None)
    return select(Record.organisation_id, shown).join(latest, Record.id == latest.c.record_id)


def _rows() -> Any:
    return select(Record.organisation_id, Record.document).limit(5).subquery("ordered")


# Each returns the organisations whose rows it saw, or their number.
READING: dict[str, Callable[[], Any]] = {
    "columns": lambda: select(Record.organisation_id),
    "an entity": lambda: select(Record),
    "an alias": lambda: select(aliased(Record).organisation_id),
    "a join": lambda: select(Edge.organisation_id, Member.organisation_id).join(
        Member, Member.scope == Edge.scope
    ),
    "an outer join": lambda: select(Edge.organisation_id, Member.organisation_id).outerjoin(
        Member, Member.scope == Edge.scope
    ),
    "a join in the condition": lambda: select(Edge.organisation_id, Member.organisation_id).where(
        Member.scope == Edge.scope
    ),
    "a join of aliases": lambda: select(aliased(Edge).organisation_id).join(aliased(Member), true()),
    "exists": lambda: select(Record.organisation_id).where(seen()),
    "exists on aliases": lambda: select(Record.organisation_id).where(seen(aliased(Edge), aliased(Member))),
    "exists in the condition alone": lambda: select(Record.organisation_id).where(
        exists().where(Edge.record_id == Record.id)
    ),
    "exists in a column": lambda: select(Record.organisation_id, seen()),
    "a scalar subquery": lambda: select(
        Record.organisation_id, select(func.count()).select_from(Edge).scalar_subquery()
    ),
    "a subquery in IN": lambda: select(Record.organisation_id).where(Record.id.in_(select(Edge.record_id))),
    "a subquery": lambda: select(select(Record.organisation_id).subquery().c.organisation_id),
    "a common table expression": lambda: select(select(Record.organisation_id).cte().c.organisation_id),
    "a union": lambda: union_all(select(Record.organisation_id), select(Edge.organisation_id)),
    "a walk through places": walk,
    "four branches": branches,
    "or": lambda: select(Record.organisation_id).where(or_(Record.seq > 0, Record.deleted)),
    "a lock": lambda: select(Customer).with_for_update(key_share=True),
    "a locked join": lambda: (
        select(Edge.organisation_id).join(Member, Member.scope == Edge.scope).with_for_update(of=Edge)
    ),
    "populate existing": lambda: select(Customer).execution_options(populate_existing=True),
    "count": lambda: select(func.count()).select_from(Record),
    "a count of names": lambda: select(func.count(Record.id)),
    "an aggregate of a subquery": lambda: select(func.count(_rows().c.document)),
    "a count of a subquery": lambda: select(func.count()).select_from(_rows()),
    "a table in a union": lambda: union_all(
        select(Record.__table__.c.organisation_id), select(Edge.organisation_id)
    ),
    "distinct": lambda: select(Record.organisation_id).distinct(),
    "made by text": lambda: select(Customer).from_statement(text("SELECT * FROM customer")),
    "a table": lambda: select(Record.__table__),
    "a column of a table": lambda: select(Record.__table__.c.organisation_id),
    "a table by its name": lambda: select(column("organisation_id")).select_from(table("record")),
    "a table joined": lambda: select(Record.organisation_id, Edge.__table__.c.organisation_id).join(
        Edge.__table__, true()
    ),
    "a table in exists": lambda: select(Record.organisation_id).where(
        exists().where(Edge.__table__.c.record_id == Record.id)
    ),
    "text": lambda: text("SELECT organisation_id FROM record"),
    "text in capitals": lambda: text('SELECT organisation_id FROM "RECORD"'),
    "text as a part": lambda: select(text("(SELECT count(*) FROM edge)"), Record.organisation_id),
    "text with the organisation of others": lambda: text("SELECT organisation_id FROM record WHERE seq = 1"),
    "all organisations": lambda: select(Organisation.id),
}


def others(house: House) -> dict[str, Any]:
    """Return statements that ask for another organisation by its id."""
    asked, own_text = (
        house.organisation_id,
        OwnText("SELECT document FROM record WHERE organisation_id = :organisation_id"),
    )
    rows: Any = Record.__table__
    return {
        "columns": select(Record.organisation_id).where(Record.organisation_id == asked),
        "exists alone": select(literal(1)).where(exists().where(Record.document == str(asked))),
        "a table": select(rows).where(rows.c.organisation_id == asked),
        "text": own_text.bindparams(organisation_id=asked.hex),
        "the organisation": select(Organisation.id).where(Organisation.id == asked),
    }


def hollow(organisation_id: UUID) -> dict[str, Any]:
    """Return statements with the organisation in a condition that excludes nobody."""
    rows, ours = Record.__table__.c, Record.__table__.c.organisation_id == organisation_id
    same = Member.organisation_id == rows.organisation_id
    return {
        "either": select(rows.organisation_id).where(or_(ours, rows.seq > 0)),
        "not": select(rows.organisation_id).where(not_(not_(ours) & (rows.seq < 0))),
        "an outer join": select(rows.organisation_id).outerjoin(Member, and_(same, ours)),
        "a full join": select(rows.organisation_id).join(Member, and_(same, ours), full=True),
        "by way of an outer join": select(rows.organisation_id).outerjoin(
            Member, and_(same, Member.organisation_id == organisation_id)
        ),
        "a column": select(rows.organisation_id, ours),
        "an order": select(rows.organisation_id).order_by(ours),
        "a condition of groups": select(rows.organisation_id)
        .group_by(rows.organisation_id)
        .having(func.max(case((ours, 1), else_=1)) == 1),
        "another table": select(rows.organisation_id).join(
            Edge.__table__, Edge.__table__.c.organisation_id == organisation_id
        ),
        "an inner alias of the same table": select(rows.organisation_id).where(
            exists(select(1).select_from(aliased(Record)).where(Record.seq > 0))
        ),
    }


def writing(ours: UUID, theirs: UUID, *, is_sqlite: bool = True) -> dict[str, Any]:
    """Return statements that would write another organisation's rows."""
    heads: Any = Head.__table__
    head = {"epoch": uuid4(), "seq": 1, "floor": 0}
    state = {
        "device_id": uuid4(),
        "account_id": ACCOUNT,
        "last_seen_at": now(),
        "pushes": 0,
        "last_number": 0,
    }
    own = {"organisation_id": ours}
    device_states: Any = DeviceState.__table__
    inserting: Any = sqlite.insert if is_sqlite else postgresql.insert
    new = inserting(device_states).values(**own, **state)
    return {
        "update": update(Head).values(seq=77),
        "update by a subquery": update(Head).where(Head.seq.in_(select(Edge.seq))).values(seq=77),
        "update from another": update(Head).where(Member.from_seq >= Head.seq).values(seq=77),
        "update of a table": update(heads).values(seq=77),
        "update of a table of theirs": update(heads).where(heads.c.organisation_id == theirs).values(seq=77),
        "update that gives rows away": update(heads)
        .where(heads.c.organisation_id == ours)
        .values(organisation_id=theirs),
        "update that gives mapped rows away": update(Head).values(organisation_id=literal(theirs)),
        "delete": delete(Edge),
        "delete by a subquery": delete(Edge).where(
            tuple_(Edge.scope, Edge.record_id).in_(select(Edge.scope, Edge.record_id))
        ),
        "delete from a table": delete(Edge.__table__),
        "insert": insert(DeviceState).values(organisation_id=theirs, **state),
        "insert into a table": insert(device_states).values(organisation_id=theirs, **state),
        "insert of many": insert(device_states).values([{"organisation_id": theirs, **state}]),
        "insert of an expression": insert(device_states).values(organisation_id=literal(theirs), **state),
        "insert without any": insert(RefreshToken.__table__).values(
            hash="0", family_id=ACCOUNT, account_id=ACCOUNT, issued_at=now(), expires_at=now()
        ),
        "insert from a select": insert(device_states).from_select(
            ["organisation_id", *state],
            select(literal(theirs), *(bindparam(None, value) for value in state.values())),
        ),
        "insert or update by another key": new.on_conflict_do_update(
            index_elements=["device_id"], set_={"pushes": 1}
        ),
        "insert or give away": new.on_conflict_do_update(
            index_elements=["organisation_id", "device_id"], set_={"organisation_id": theirs}
        ),
        "text": text("UPDATE head SET seq = 77"),
        "text of ours": OwnText(
            "UPDATE head SET seq = 77 WHERE organisation_id = :organisation_id"
        ).bindparams(organisation_id=theirs),
        "head": insert(heads).values(organisation_id=uuid4(), **head),
    }


def told(rows: Any) -> set[Any]:
    """Return every organisation named in the rows."""
    cells = (cell for row in rows for cell in (row if len(row) > 1 else (row[0],)))
    return {getattr(cell, "organisation_id", cell) for cell in cells}


# A reading session takes no locks.
KINDS = [
    (kind, shape)
    for kind in ("reading", "writing")
    for shape in READING
    if kind == "writing" or "lock" not in shape
]


@pytest.mark.parametrize(("kind", "shape"), KINDS)
async def test_a_read_without_the_organisation_returns_no_other_organisations_rows(
    pair: Pair, kind: str, shape: str
) -> None:
    ours, theirs = pair.ours.organisation_id, pair.theirs.organisation_id
    async with getattr(pair.ours, kind)() as session:
        try:
            rows = (await session.execute(READING[shape]())).all()
        except BorderCrossed:
            assert shape in REFUSED
            return
    assert shape not in REFUSED
    found = told(rows)
    assert not found & {theirs, str(theirs)}
    assert found & {ours, str(ours), 1}
    assert not found & {2, 3, 4}


# The session refuses statements that it cannot complete.
REFUSED = {shape for shape in READING if "table" in shape.split() or "text" in shape.split()} - {
    "a common table expression"
} | {"all organisations"}


async def test_each_read_shape_reaches_every_organisation_on_request(pair: Pair) -> None:
    """Otherwise the tests above would prove nothing."""
    theirs = pair.theirs.organisation_id
    named = {theirs, str(theirs), theirs.hex}
    for shape, statement in READING.items():
        if shape == "text in capitals":
            continue
        async with pair.database.writing(ACROSS) as session:
            found = told((await session.execute(statement())).all())
        assert found & named or max([n for n in found if isinstance(n, int)], default=0) > 1, shape


async def test_an_account_that_may_see_nothing_reads_nothing(pair: Pair) -> None:
    """With an always-false condition SQLAlchemy drops all others."""
    async with pair.ours.reading() as session:
        assert not (await session.execute(select(Record).where(false(), Record.seq > 0))).all()
        counted = select(func.count()).select_from(Edge.__table__).scalar_subquery()
        with pytest.raises(BorderCrossed):
            await session.execute(select(func.count(Record.id), counted).where(false()))


async def test_another_organisation_cannot_be_asked_for(pair: Pair) -> None:
    for shape, statement in others(pair.theirs).items():
        async with pair.ours.reading() as session:
            try:
                assert not (await session.execute(statement)).all(), shape
            except BorderCrossed:
                continue


@pytest.mark.parametrize("shape", hollow(uuid4()))
async def test_an_organisation_condition_without_effect_is_refused(pair: Pair, shape: str) -> None:
    statement = hollow(pair.ours.organisation_id)[shape]
    async with pair.ours.reading() as session:
        with pytest.raises(BorderCrossed):
            await session.execute(statement)


# SQLAlchemy warns of the insert without any.
@pytest.mark.filterwarnings("ignore:.*is marked as a member of the primary key")
@pytest.mark.parametrize("shape", writing(uuid4(), uuid4()))
async def test_a_write_without_the_organisation_changes_no_other_organisations_rows(
    pair: Pair, shape: str
) -> None:
    before, is_sqlite = await pair.rows(pair.theirs), pair.database.is_sqlite
    ours, theirs = pair.ours.organisation_id, pair.theirs.organisation_id
    statement = writing(ours, theirs, is_sqlite=is_sqlite)[shape]
    async with pair.ours.writing() as session:
        try:
            await session.execute(statement, execution_options={"synchronize_session": False})
        except BorderCrossed:
            pass
        else:
            assert shape.startswith(("update", "delete"))
            await session.commit()
    assert await pair.rows(pair.theirs) == before


async def test_another_organisations_rows_cannot_be_added_or_fetched(pair: Pair) -> None:
    ours, theirs = pair.ours.organisation_id, pair.theirs.organisation_id
    async with pair.ours.writing() as session:
        session.info["command"] = "test"
        assert await session.get(Customer, (ours, SHARED)) is not None
        with pytest.raises(BorderCrossed):
            await session.get(Customer, (theirs, SHARED))
    async with pair.ours.writing() as session:
        session.info["command"] = "test"
        session.add(
            Customer(organisation_id=theirs, id=uuid4(), name="Foreign", created_at=now(), deleted=False)
        )
        with pytest.raises(BorderCrossed):
            await session.flush()


async def test_a_row_is_refreshed_and_changed_only_within_its_organisation(pair: Pair) -> None:
    async with pair.ours.writing() as session:
        session.info["command"] = "test"
        (own,) = (await session.scalars(select(Customer))).all()
        own.name = "Changed"
        await session.flush()
        session.expire(own)
        await session.refresh(own)
        assert (own.organisation_id, own.name) == (pair.ours.organisation_id, "Changed")
        await session.commit()
    async with pair.theirs.reading() as session:
        assert [one.name for one in await session.scalars(select(Customer))] == [
            str(pair.theirs.organisation_id)
        ]


async def test_a_cached_statement_keeps_to_the_organisation_of_its_session(pair: Pair) -> None:
    """A statement is compiled once for all organisations."""
    for _ in range(3):
        for house in (pair.ours, pair.theirs):
            async with house.reading() as session:
                assert list(await session.scalars(select(Record.document))) == [str(house.organisation_id)]
                (head,) = (await session.scalars(select(Head))).all()
                assert head.organisation_id == house.organisation_id


async def test_a_statement_that_bypasses_the_session_is_refused(pair: Pair) -> None:
    async with pair.ours.reading() as session:
        connection = await session.connection()
        for statement in (select(Record.id), text("SELECT id FROM record")):
            with pytest.raises(BorderCrossed):
                await connection.execute(statement)
        with pytest.raises(BorderCrossed):
            await connection.exec_driver_sql("SELECT id FROM record")
    async with pair.database.connecting() as connection:
        with pytest.raises(BorderCrossed):
            await connection.execute(select(Record.__table__))
        assert await connection.scalar(text("SELECT 1")) == 1
