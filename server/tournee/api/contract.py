"""`syncContract`: what a client must know to work offline."""

from __future__ import annotations

from strawberry.types.field import StrawberryField

from tournee.api.context import Info
from tournee.api.mapping import make_field
from tournee.api.values import value_type
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.catalogue import sync_contract
from tournee.sync.contract import SyncContract


def contract_field() -> StrawberryField:
    """`syncContract`."""
    return make_field(
        "syncContract",
        value_type(SyncContract, ACCOUNT_SELF),
        ACCOUNT_SELF,
        resolver=_contract,
        description="What a client must know to work offline; the same as JSON at `GET /sync/contract`.",
    )


def _contract(info: Info) -> SyncContract:
    return sync_contract(info.context.horizon_days)
