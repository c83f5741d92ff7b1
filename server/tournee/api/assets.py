"""Assets in GraphQL."""

from __future__ import annotations

from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.transitions import TRANSITIONS, available_transitions
from tournee.assets.models import Asset, Meter, Reading
from tournee.auth.models import Account
from tournee.kernel.database import now


def under_warranty(root: Asset) -> bool:
    """Whether the warranty covers today, in UTC."""
    return root.is_under_warranty(now().date())


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
        ComputedField(Asset, available_transitions, TRANSITIONS, needs=("status",)),
        ComputedField(
            Asset,
            under_warranty,
            bool,
            needs=("warranty_starts_on", "warranty_ends_on", "installed_on"),
        ),
    ),
)
