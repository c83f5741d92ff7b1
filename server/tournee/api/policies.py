"""How a field merges, printed in the schema: `@merge(policy: LAST_ARRIVAL)`."""

from __future__ import annotations

import strawberry
from strawberry.schema_directive import Location

from tournee.api.scalars import enumeration
from tournee.kernel.fields import Merge

enumeration(Merge)


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="merge",
    description="What becomes of an offline edit of this field where somebody else changed it meanwhile.",
)
class MergePolicy:
    """What becomes of an offline edit of this field where somebody else changed it meanwhile."""

    policy: Merge
