"""The reference offline device of Tournée."""

from tournee_client.choice import Choice
from tournee_client.device import Device, Synced
from tournee_client.effects import Effect
from tournee_client.errors import Offline, ProtocolError, Revoked, SignInRefused, TooLarge, TourneeError
from tournee_client.ids import new_id, uuid7
from tournee_client.outbox import Operation, Rejection
from tournee_client.retry import Backoff
from tournee_client.store import Store
from tournee_client.wire import Change, Outcome, Page, Progress

__all__ = [
    "Backoff",
    "Change",
    "Choice",
    "Device",
    "Effect",
    "Offline",
    "Operation",
    "Outcome",
    "Page",
    "Progress",
    "ProtocolError",
    "Rejection",
    "Revoked",
    "SignInRefused",
    "Store",
    "Synced",
    "TooLarge",
    "TourneeError",
    "new_id",
    "uuid7",
]
