"""Questions about assets; reads only."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.assets.models import Asset
from tournee.kernel.actor import Actor
from tournee.kernel.visibility import visible


def _plain(text: Any) -> Any:
    return func.upper(func.replace(func.replace(text, " ", ""), "-", ""))


async def possible_duplicates(session: AsyncSession, actor: Actor, limit: int = 100) -> list[list[UUID]]:
    """Return groups of assets with the same serial number and manufacturer, as far as the actor sees them.

    Two technicians may add the same asset without knowing of each other. Neither is refused, so somebody has
    to look afterwards. Case, spaces and hyphens make no difference.
    """
    serial = _plain(Asset.serial_number)
    maker = _plain(func.coalesce(Asset.manufacturer, ""))
    seen = (visible(Asset, actor), serial != "")
    several = (
        select(serial.label("serial"), maker.label("maker"))
        .where(*seen)
        .group_by(serial, maker)
        .having(func.count() > 1)
        .order_by(serial, maker)
        .limit(limit)
        .subquery()
    )
    rows = await session.execute(
        select(several.c.serial, several.c.maker, Asset.id)
        .join(several, (serial == several.c.serial) & (maker == several.c.maker))
        .where(*seen)
        .order_by(several.c.serial, several.c.maker, Asset.id)
    )
    groups: dict[tuple[str, str], list[UUID]] = defaultdict(list)
    for number, made_by, id in rows:
        groups[number, made_by].append(id)
    return list(groups.values())
