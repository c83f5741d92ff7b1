"""Deleting deliveries that were given up long ago, or of endpoints that are deleted."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import or_, select

from tournee.engine.database import Database
from tournee.engine.purging import purge
from tournee.kernel.entity import now
from tournee.webhooks.models import WebhookDelivery, WebhookEndpoint, WebhookProgress

# For how long a delivery that was given up can be sent again.
KEPT_DAYS = 30


async def purge_deliveries(database: Database, organisation_id: UUID) -> None:
    deleted = select(WebhookEndpoint.id).where(WebhookEndpoint.deleted.is_(True))
    old = WebhookDelivery.dead_at < now() - timedelta(days=KEPT_DAYS)
    ended = or_(old, WebhookDelivery.endpoint_id.in_(deleted))
    await purge(database, organisation_id, WebhookDelivery, ended)
    await purge(database, organisation_id, WebhookProgress, WebhookProgress.endpoint_id.in_(deleted))
