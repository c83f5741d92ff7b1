"""Deliveries to webhook endpoints in GraphQL: what waits, and what was given up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry
from sqlalchemy import select
from strawberry.types.field import StrawberryField

from tournee.api.context import Info
from tournee.api.mapping import argument, make_field
from tournee.api.scalars import Long, optional, parse_id
from tournee.api.values import value_type
from tournee.kernel.log import Seq
from tournee.webhooks.models import WebhookDelivery
from tournee.webhooks.permissions import WEBHOOKS_READ

_MOST = 500


@dataclass(frozen=True)
class FailedDelivery:
    """A change that a webhook endpoint did not accept."""

    seq: Seq
    """The number of the change in the log."""
    record_id: Annotated[UUID, "The id of the record that changed."]
    attempts: int
    """How often it was sent since its last replay, if any; 0 while it waits behind an earlier change."""
    next_at: datetime
    """When it is sent next, unless it was given up."""
    dead_at: datetime | None
    """When the server gave it up; null while it still tries."""
    error: str | None
    """What went wrong at the last attempt; null before the first."""


_COLUMNS: tuple[Any, ...] = tuple(
    getattr(WebhookDelivery, name) for name in ("seq", "record_id", "attempts", "next_at", "dead_at", "error")
)


def delivery_fields() -> Iterable[StrawberryField]:
    """Return `webhookDeliveries(…)`."""
    deliveries: Any = list[value_type(FailedDelivery, WEBHOOKS_READ)]  # type: ignore[misc]
    yield make_field(
        "webhookDeliveries",
        deliveries,
        WEBHOOKS_READ,
        resolver=_deliveries,
        arguments=[
            argument("webhookEndpointId", strawberry.ID, "The endpoint."),
            argument(
                "dead",
                optional(bool),
                "True for changes that were given up, false for those still tried, null for both.",
            ),
            argument(
                "after", optional(Long), "Only changes with a greater number than this, for the next page."
            ),
        ],
        description=(
            f"The changes that an endpoint has not accepted, in the order of the log, at most {_MOST}."
            " `replayWebhookDeliveries` sends again those that were given up."
        ),
    )


async def _deliveries(info: Info, **given: Any) -> list[FailedDelivery]:
    conditions = [WebhookDelivery.endpoint_id == parse_id(given["webhookEndpointId"])]
    if (dead := given.get("dead")) is not None:
        conditions.append(WebhookDelivery.dead_at.is_not(None) if dead else WebhookDelivery.dead_at.is_(None))
    if (after := given.get("after")) is not None:
        conditions.append(WebhookDelivery.seq > after)
    wanted = select(*_COLUMNS).where(*conditions).order_by(WebhookDelivery.seq).limit(_MOST)
    return [FailedDelivery(*row) for row in await info.context.load.values(wanted)]
