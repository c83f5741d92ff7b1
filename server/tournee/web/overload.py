"""Outages as answers: they say when to come back, and are never a plain error."""

from __future__ import annotations

from tournee.answers import Json, coded
from tournee.kernel.outages import Outage, TooManyAtOnce


def come_back(outage: Outage) -> Json:
    """Return 429 for a client that asks for too much by itself, else 503; both with the seconds to wait."""
    status = 429 if isinstance(outage, TooManyAtOnce) else 503
    headers = {"Retry-After": str(outage.retry_after)}
    return coded(status, outage.code, outage.message, headers=headers)
