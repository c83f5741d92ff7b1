"""The numbers people call work orders by."""

from __future__ import annotations

from sqlalchemy import Uuid, bindparam, text

from tournee.kernel.transaction import Transaction

_FIRST = 1001
_TAKE = text(
    "INSERT INTO work_order_counter (organisation_id, last) VALUES (:organisation_id, :first)"
    " ON CONFLICT (organisation_id) DO UPDATE SET last = work_order_counter.last + 1"
    " RETURNING last"
).bindparams(bindparam("organisation_id", type_=Uuid))


async def next_number(tx: Transaction) -> str:
    """The next number of this organisation. A command that is taken back leaves no gap."""
    taken = await tx.session.execute(_TAKE, {"organisation_id": tx.organisation_id, "first": _FIRST})
    return f"WO-{taken.scalar_one()}"
