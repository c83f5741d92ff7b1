"""A revoked device: it sends its work if allowed, erases its copy, and confirms that."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import insert

from tests.simulator.device import Deed, Device
from tests.simulator.network import Network, Request
from tests.simulator.violations import require
from tournee.auth.models import RefreshToken
from tournee.auth.refresh_tokens import hashed
from tournee.kernel.entity import now

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from tests.simulator.world import Company


async def give_refresh_token(session: AsyncSession, company: Company, device: Device) -> None:
    """Store a refresh token, as signing in does; it identifies the device once it is revoked."""
    values = {
        "hash": hashed(refresh_token(device)), "family_id": UUID(device.id), "organisation_id": company.id,
        "account_id": UUID(device.account), "device_id": UUID(device.id), "issued_at": now(),
        "expires_at": now() + timedelta(days=400),
    }  # fmt: skip
    with session.no_autoflush:
        await session.execute(insert(RefreshToken).values(**values))


def refresh_token(device: Device) -> str:
    return f"refresh token of {device.id}"


async def leave(company: Company, device: Device, network: Network) -> bool:
    """Take the next step; return whether the device is done."""
    row = company.chronicle.rows["Device"][device.id]
    if row["status"] == "WIPED":
        return True
    if row["surrender"] and device.pending() and not await _surrender(device, network):
        return False
    device.wipe()
    body = f"refresh_token={refresh_token(device).replace(' ', '+')}".encode()
    answer = await network.send(Request(device.name, "POST", "/auth/wiped", "", body=body))
    return answer is not None


async def _surrender(device: Device, network: Network) -> bool:
    """Send work; return whether every operation of the outbox is known to be stored."""
    batch = device.pending()
    for schema in (1, 2):
        deeds = [deed for deed in batch if deed.schema == schema]
        body = {"device": device.id, "schema": schema, "operations": [deed.wire() for deed in deeds]}
        request = Request(
            device.name, "POST", "/sync/push", refresh_token(device), body=body, about=(device, deeds),
            scheme="Surrender",
        )  # fmt: skip
        answer = await network.send(request)
        if answer is None or answer.status != 200:
            return False
    return True


def check_surrendered(deeds: list[Deed], outcomes: list[dict[str, str]]) -> None:
    for deed, outcome in zip(deeds, outcomes, strict=True):
        kept = outcome["id"] == deed.id and outcome["status"] == "surrendered"
        require(kept, "surrendered work is stored", f"{outcome} of {deed}")
        deed.surrendered = True
