"""Commands about customers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from tournee.customers.models import Channel, Contact, Customer, Direction, Expectation, Interaction, Site
from tournee.customers.permissions import CUSTOMERS_WRITE
from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.plain import creates, deletes, edits
from tournee.kernel.registry import Plain
from tournee.kernel.rules import not_its_own_ancestor, obeying
from tournee.kernel.transaction import Transaction
from tournee.work.permissions import WORK_WRITE

create_customer = creates(Customer, CUSTOMERS_WRITE, offline=True)
update_customer = obeying(edits(Customer, CUSTOMERS_WRITE, offline=True), not_its_own_ancestor)

create_contact = creates(Contact, CUSTOMERS_WRITE, offline=True)
update_contact = edits(Contact, CUSTOMERS_WRITE, offline=True, without=["customer_id"])
delete_contact = deletes(Contact, CUSTOMERS_WRITE)

create_site = creates(Site, CUSTOMERS_WRITE, offline=True)
update_site = edits(Site, CUSTOMERS_WRITE, offline=True, without=["customer_id"])

create_expectation = creates(Expectation, CUSTOMERS_WRITE)
update_expectation = edits(Expectation, CUSTOMERS_WRITE, without=["customer_id"])
delete_expectation = deletes(Expectation, CUSTOMERS_WRITE)


@dataclass(frozen=True)
class RecordInteraction:
    customer_id: UUID
    channel: Channel
    direction: Direction
    subject: Annotated[str, Limits(length=200)]
    at: datetime
    """When it took place."""
    body: str | None = None
    contact_id: UUID | None = None
    site_id: UUID | None = None
    id: UUID | Unset = UNSET


@command(WORK_WRITE, offline=True, fact=True, plain=Plain.CREATE)
async def record_interaction(tx: Transaction, actor: Actor, do: RecordInteraction) -> Interaction:
    """Record a call, a message or a conversation with the customer."""
    await tx.find_reference(Customer, do.customer_id, "customerId")
    await tx.find_optional(Contact, do.contact_id, "contactId")
    await tx.find_optional(Site, do.site_id, "siteId")
    values = {name: value for name, value in vars(do).items() if value is not UNSET}
    occurred_at = values.pop("at")
    return await tx.add(Interaction(**values, occurred_at=occurred_at, author_id=actor.id))
