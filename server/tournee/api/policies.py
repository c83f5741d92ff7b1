"""What a device needs to know, printed in the schema: `@merge(policy: LAST_ARRIVAL)` and `@offline`."""

from __future__ import annotations

import strawberry
from strawberry.schema_directive import Location

from tournee.api.scalars import enumeration
from tournee.kernel.fields import Merge

enumeration(Merge)


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="merge",
    description="What happens to an offline edit of this field if somebody else changed it meanwhile.",
)
class MergePolicy:
    """What happens to an offline edit of this field if somebody else changed it meanwhile."""

    policy: Merge


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="offline",
    description="A device without a network may queue this command and push it later.",
)
class Offline:
    """A device without a network may queue this command and push it later."""
