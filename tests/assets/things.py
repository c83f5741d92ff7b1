"""Helpers: sites, and the scopes that show assets there."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, update

from tests.support.house import House, wire
from tournee.catalogue import COMMANDS
from tournee.customers.models import Site
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Entity, now
from tournee.kernel.log import Head, Member
from tournee.kernel.transaction import Operation, Transaction


async def site(house: House, customer: UUID | None = None) -> Site:
    if customer is None:
        customer = (await house.run("createCustomer", name="Demo Hotel")).id
    found: Site = await house.run("createSite", customerId=customer, name="Harbour")
    return found


async def grant(house: House, actor: Actor, *scopes: UUID) -> None:
    """Give an account scopes, as an appointment would."""
    seq = await house.seq()
    async with house.writing() as session:
        for scope in scopes:
            await session.execute(
                insert(Member.__table__).values(
                    organisation_id=house.organisation_id, account_id=actor.id, scope=scope, from_seq=seq
                )
            )
        await session.commit()


async def revoke(house: House, actor: Actor, *scopes: UUID) -> None:
    """End a grant, as when the appointment is reassigned."""
    seq = await house.seq() + 1
    async with house.writing() as session:
        await session.execute(update(Head).values(seq=seq))
        await session.execute(
            update(Member).where(Member.account_id == actor.id, Member.scope.in_(scopes)).values(to_seq=seq)
        )
        await session.commit()


async def offline(
    house: House, actor: Actor, base: int, name: str, /, device: UUID | None = None, **payload: Any
) -> tuple[Any, Operation]:
    """Run a command as a device would offline, having last pulled at `base`."""
    command = COMMANDS[name]
    operation = Operation(name, now(), id=uuid4(), device_id=device or uuid4(), base=base)

    async def work(tx: Transaction) -> Entity:
        result: Entity = await command.run(tx, command.parse(wire(payload)), operation)
        return result

    return await house.kernel.transact(actor, work), operation
