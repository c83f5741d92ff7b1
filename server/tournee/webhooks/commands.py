"""Commands about webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from sqlalchemy import update

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.entity import now
from tournee.kernel.errors import Invalid
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.plain import creating, deletes, edits, given
from tournee.kernel.transaction import Transaction
from tournee.webhooks.models import WebhookDelivery, WebhookEndpoint, key_of
from tournee.webhooks.permissions import WEBHOOKS_WRITE

MOST_REPLAYED = 1_000


@dataclass(frozen=True, kw_only=True)
class Secret:
    secret: Annotated[str, Limits(length=120)]
    """The key that signs deliveries: `whsec_` and 24 to 64 random bytes in base64. It cannot be read back."""


@creating(WebhookEndpoint, WEBHOOKS_WRITE)
async def create_webhook_endpoint(tx: Transaction, actor: Actor, do: Secret) -> WebhookEndpoint:
    """Send the organisation's changes to a web address, from this moment on."""
    key_of(do.secret)
    return await tx.add(WebhookEndpoint(**given(do)))


update_webhook_endpoint = edits(WebhookEndpoint, WEBHOOKS_WRITE)
delete_webhook_endpoint = deletes(WebhookEndpoint, WEBHOOKS_WRITE)


@dataclass(frozen=True)
class ReplaceWebhookSecret:
    webhook_endpoint_id: UUID
    """The endpoint."""
    secret: Annotated[str, Limits(length=120)]
    """The new key: `whsec_` and 24 to 64 random bytes in base64."""


@command(WEBHOOKS_WRITE)
async def replace_webhook_secret(tx: Transaction, actor: Actor, do: ReplaceWebhookSecret) -> WebhookEndpoint:
    """Replace the key that signs an endpoint's deliveries."""
    endpoint = await tx.find(WebhookEndpoint, do.webhook_endpoint_id, "webhookEndpointId")
    key_of(do.secret)
    endpoint.secret = do.secret
    return endpoint


@dataclass(frozen=True)
class ReplayWebhookDeliveries:
    webhook_endpoint_id: UUID
    """The endpoint."""
    seqs: list[int] | Unset = UNSET
    """The numbers of the changes to send again; by default all that were given up."""


@command(WEBHOOKS_WRITE)
async def replay_webhook_deliveries(
    tx: Transaction, actor: Actor, do: ReplayWebhookDeliveries
) -> WebhookEndpoint:
    """Send again the changes that were given up. Each delivery keeps its id."""
    endpoint = await tx.find(WebhookEndpoint, do.webhook_endpoint_id, "webhookEndpointId")
    dead = [WebhookDelivery.endpoint_id == endpoint.id, WebhookDelivery.dead_at.is_not(None)]
    if not isinstance(do.seqs, Unset):
        if len(do.seqs) > MOST_REPLAYED:
            raise Invalid(f"Name at most {MOST_REPLAYED} changes, or leave `seqs` out for all.", "seqs")
        dead.append(WebhookDelivery.seq.in_(do.seqs))
    again = update(WebhookDelivery).where(*dead).values(dead_at=None, attempts=0, next_at=now())
    await tx.session.execute(again.execution_options(synchronize_session=False))
    return endpoint
