"""Superseded values are listed for their author and for the office, without a decision."""

from __future__ import annotations

import pytest

from tests.support.ask import ask
from tests.support.clashes import Clashes
from tournee.kernel.conflict import Conflict
from tournee.kernel.errors import TransitionNotAllowed

SUPERSEDED = (
    "{conflicts(filter:{kind:{eq:VALUE_SET_ASIDE}}){nodes{id status resolution resolvedAt resolvedById"
    " entity recordId command operationId actorId mine theirs}}}"
)


async def test_a_superseded_value_is_listed(clashes: Clashes) -> None:
    await clashes.office("updateAsset", assetId=clashes.asset.id, warrantyEndsOn="2030-01-01")
    mine = clashes.device.operation("updateAsset", assetId=clashes.asset.id, warrantyEndsOn="2028-01-01")
    (outcome,) = await clashes.device.push(mine)
    assert (outcome.status, list(outcome.fields)) == ("superseded", ["warrantyEndsOn"])
    for reader in ("DISPATCHER", clashes.technician.actor):
        (listed,) = (await ask(clashes.house, SUPERSEDED, reader))["conflicts"]["nodes"]
        assert listed.pop("resolvedAt") is not None
        assert listed == {
            "id": outcome.conflict,
            "status": "RESOLVED",
            "resolution": "ACKNOWLEDGED",
            "resolvedById": None,
            "entity": "Asset",
            "recordId": str(clashes.asset.id),
            "command": "updateAsset",
            "operationId": mine["id"],
            "actorId": str(clashes.technician.actor.id),
            "mine": {"warrantyEndsOn": "2028-01-01"},
            "theirs": {"warrantyEndsOn": "2030-01-01"},
        }
    stranger = await clashes.world.technician()
    assert (await ask(clashes.house, SUPERSEDED, stranger.actor))["conflicts"]["nodes"] == []
    with pytest.raises(TransitionNotAllowed):
        await clashes.resolve(Conflict(id=listed["id"]), "ACKNOWLEDGED")
