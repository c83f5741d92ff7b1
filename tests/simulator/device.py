"""Devices. `Device` is the interface that a new kind of device implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.simulator.clock import Clock
from tests.simulator.network import Network

Document = dict[str, Any]

# The key for a row's entity, which is no field's name.
KIND = "of entity"
FINAL = {"applied", "merged", "superseded", "duplicate", "rejected"}


@dataclass
class Deed:
    """Something a person did on a device, remembered even if the device forgets it.

    `seen` is the changed record as the device had it, `binding` whether no change by the office may
    cause a refusal, `parents` the deeds that created the records it is about.
    """

    id: str
    number: int
    device: str
    account: str
    command: str
    input: Document
    base: int | None
    occurred_at: str
    unit: str | None = None
    target: str | None = None
    seen: Document | None = None
    binding: bool = True
    parents: tuple[str, ...] = ()
    # The schema version of the app that recorded it.
    schema: int = 2
    # Whether a record it is about was invisible at any time when it may have been decided.
    hidden: bool = False
    # Whether its device forgot it as decided before a backup without it was restored.
    forgotten: bool = False
    # Whether it was decided in a lost history; its device may still have it and resend it.
    undone: bool = False
    # Whether its revoked device surrendered it.
    surrendered: bool = False
    # The mark of its base, as the server sent it.
    mark: str | None = None
    # The first outcome sent to any device; every later one must agree.
    outcome: Document | None = None

    def wire(self) -> Document:
        made = {
            "id": self.id, "number": self.number, "command": self.command, "input": self.input,
            "base": self.base, "occurredAt": self.occurred_at,
        }  # fmt: skip
        return made if self.unit is None else made | {"unit": self.unit}


@dataclass(frozen=True)
class Draft:
    """A deed that has no number yet."""

    command: str
    input: Document
    target: str | None = None
    binding: bool = True
    parents: tuple[str, ...] = ()


class Device(ABC):
    """A person's device. `skew` is the error of its clock."""

    kind: str

    def __init__(self, name: str, id: str, account: str, clock: Clock, skew: timedelta) -> None:
        self.name = name
        self.id = id
        self.account = account
        self.clock = clock
        self.skew = skew
        self.token: str | None = None
        # The schema version in which its app writes inputs.
        self.schema = 2
        self.revoked = False
        # Whether its last pull was complete when answered.
        self.complete = False
        # Whether its present copy was ever complete.
        self.whole = False

    @property
    def wonders(self) -> bool:
        """Return whether it must push without new work because the server's history may differ."""
        return False

    @abstractmethod
    def rows(self) -> dict[str, Document]:
        """Return the server's rows, without the device's own undecided work."""

    @abstractmethod
    def pending(self) -> list[Deed]:
        """Return the undecided work of this device, oldest first."""

    def marks(self) -> list[str | None]:
        """Return the marks that it sends to the server."""
        return []

    def kept(self) -> list[Deed]:
        """Return the operations that it can send, or resend when its cursor becomes invalid."""
        return self.pending()

    @abstractmethod
    def recent(self) -> list[Deed]:
        """Return the accepted operations that are not yet in the copy, as far as the device can tell."""

    @abstractmethod
    def do(self, drafts: list[Draft], unit: bool) -> list[Deed]:
        """Record what a person did; a unit is recorded as a whole or not at all."""

    @abstractmethod
    async def push(self, network: Network) -> None:
        """Send the outbox once, over the present network."""

    @abstractmethod
    async def pull(self, network: Network, pages: int) -> None:
        """Fetch up to this many pages; afterwards `complete` is true if there were no more."""

    @abstractmethod
    def resync(self) -> None:
        """Act on a changed server history."""

    @abstractmethod
    def wipe(self) -> None:
        """Erase the copy and the outbox."""

    @abstractmethod
    def crash(self) -> None:
        """Kill the app; whatever was not stored is lost."""

    def now(self) -> str:
        return (self.clock.at + self.skew).isoformat().replace("+00:00", "Z")

    def new_id(self) -> str:
        return str(self.clock.new_id(self.skew))


@dataclass
class Person:
    """A person with an account and devices."""

    name: str
    account: str
    role: str
    technician: str | None = None
    devices: list[Device] = field(default_factory=list)
