"""A made-up webhook. It is not active: nobody listens there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from tournee.kernel.demo import demo_id


def operations(today: date) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the operations that add it."""
    yield (
        "MANAGER",
        "createWebhookEndpoint",
        {
            "id": str(demo_id("webhook/1")),
            "name": "Demo warehouse",
            "url": "https://hooks.demo.example/tournee",
            "entities": ["WorkOrder", "Appointment"],
            "active": False,
            "secret": "whsec_ZGVtbyBkZW1vIGRlbW8gZGVtbyBkZW1v",
        },
    )
