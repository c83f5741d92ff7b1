"""One example for each command of the catalogue."""

from tests.sync.examples import (
    assets,
    auth,
    customers,
    devices,
    people,
    procedures,
    quality,
    stock,
    webhooks,
    work,
)
from tests.sync.examples.example import Example

EXAMPLES: dict[str, Example] = {
    name: example
    for domain in (auth, people, customers, assets, procedures, stock, work, quality, devices, webhooks)
    for name, example in domain.EXAMPLES.items()
}
