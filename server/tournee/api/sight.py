""" "Why is this not on my device?": the question and its answer."""

from __future__ import annotations

from uuid import UUID

import strawberry
from strawberry.types.field import StrawberryField

from tournee.api.context import Info
from tournee.api.mapping import argument, make_field
from tournee.api.scalars import optional, parse_id
from tournee.api.values import value_type
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.reporting.sight import DeviceSight, sight


def sight_field() -> StrawberryField:
    """`whyNotOnDevice`."""
    return make_field(
        "whyNotOnDevice",
        value_type(DeviceSight, ACCOUNT_SELF),
        ACCOUNT_SELF,
        resolver=_sight,
        arguments=[
            argument("id", strawberry.ID, "The record."),
            argument("deviceId", optional(strawberry.ID), "The device to ask about; null for none."),
            argument(
                "accountId",
                optional(strawberry.ID),
                "The account to ask about; by default the device's, or your own.",
            ),
        ],
        description=(
            "Whether a record is on a device, and why or why not. Everybody may ask about themselves, and"
            " learns nothing about records that they may not see; asking about others needs sight:read."
        ),
    )


async def _sight(info: Info, **given: str | None) -> DeviceSight:
    context = info.context
    named = {name: _id(text) for name, text in given.items() if text is not None}
    async with context.kernel.database.reading(context.actor.organisation_id) as session:
        return await sight(session, context.actor, named["id"], named.get("accountId"), named.get("deviceId"))


def _id(text: str) -> UUID:
    """What is no id is nobody's."""
    return parse_id(text) or UUID(int=0)
