"""Rules about accounts and devices, for their own commands and for domains that name accounts."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import select

from tournee.auth.models import Account, Device
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Entity
from tournee.kernel.errors import NotFound
from tournee.kernel.fields import camel
from tournee.kernel.rules import Rule
from tournee.kernel.transaction import Transaction


def against_disabling(actor: Actor, account_id: UUID) -> list[str]:
    own = account_id == actor.id
    return ["You cannot disable your own account; ask another manager."] if own else []


def against_wiping(actor: Actor, device: Device) -> list[str]:
    return [] if device.account_id == actor.id else ["Only the device itself can confirm this."]


async def require_accounts(tx: Transaction, named: Mapping[str, UUID | None]) -> None:
    """Refuse accounts outside this organisation. `named` has the accounts by the wire names of their fields.

    The caller need not be allowed to read the accounts: dispatchers and auditors are not.
    """
    # Accounts that this transaction adds may not be in the table yet.
    added = {row.id for row in tx.pending() if isinstance(row, Account)}
    ids = {id for id in named.values() if id is not None} - added
    if not ids:
        return
    own = select(Account.id).where(Account.id.in_(ids))
    # Check before the row is written, so that the refusal names the field.
    with tx.session.no_autoflush:
        known = set(await tx.session.scalars(own))
    for field, id in named.items():
        if id in ids and id not in known:
            raise NotFound("There is no such Account.", field)


def names_accounts(*columns: str) -> Rule[Entity]:
    """Return a rule for plain commands: the accounts in these columns of the row exist."""

    async def rule(tx: Transaction, row: Entity) -> None:
        await require_accounts(tx, {camel(name): getattr(row, name) for name in columns})

    return rule
