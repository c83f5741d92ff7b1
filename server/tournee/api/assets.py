"""Assets in GraphQL."""

from __future__ import annotations

from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.transitions import TRANSITIONS, Ways, by_row
from tournee.assets.commands import (
    commission_asset,
    install_asset,
    retire_asset,
    return_asset_to_service,
    take_asset_out_of_service,
)
from tournee.assets.models import Asset, AssetStatus, Meter, Reading
from tournee.auth.models import Account
from tournee.kernel.entity import now


def under_warranty(root: Asset) -> bool:
    """Whether the warranty covers today, in UTC."""
    return root.is_under_warranty(now().date())


_WAYS: Ways = {
    AssetStatus.INSTALLED: (install_asset,),
    AssetStatus.ACTIVE: (commission_asset, return_asset_to_service),
    AssetStatus.OUT_OF_SERVICE: (take_asset_out_of_service,),
    AssetStatus.RETIRED: (retire_asset,),
}

EXTRAS = Extras(
    lists=(
        ListName(Asset, "parent_id", "components"),
        ListName(Asset, "holder_technician_id", "heldAssets"),
        ListName(Meter, "holder_technician_id", None),
        ListName(Reading, "holder_technician_id", None),
        ListName(Reading, "corrects_id", "corrections"),
    ),
    links=(Link(Reading, "taken_by_id", Account),),
    computed=(
        ComputedField(Asset, by_row(_WAYS), TRANSITIONS, needs=("status",)),
        ComputedField(
            Asset,
            under_warranty,
            bool,
            needs=("warranty_starts_on", "warranty_ends_on", "installed_on"),
        ),
    ),
)
