"""Devices. `Device` is the place for a new kind: what the simulation needs of one, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.simulator.clock import Clock
from tests.simulator.network import Network

Document = dict[str, Any]

# Beside a row's fields: of which entity it is. No field is called so.
KIND = "of entity"
FINAL = {"applied", "merged", "superseded", "duplicate", "rejected"}


@dataclass
class Deed:
    """Something a person did on a device, as the simulation remembers it whatever the device forgets.

    `seen` is the record it changes as the device had it, `binding` whether nothing that the office
    does meanwhile may make it refused, `parents` the deeds that made what it is about.
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
    # In which form the app that made it wrote the input.
    schema: int = 2
    # Whether a record it is about was out of sight at any time at which it may have been decided.
    hidden: bool = False
    # Whether its device has forgotten it, as decided, before a backup was restored that knows nothing of it.
    forgotten: bool = False
    # Whether it was decided in a history that is lost; its device may still have it, and hand it in again.
    undone: bool = False
    # Whether it was handed in by its device when that was revoked.
    surrendered: bool = False
    # That of its base, as the server gave it.
    mark: str | None = None
    # What every device is told, by whoever asks first.
    outcome: Document | None = None

    def wire(self) -> Document:
        made = {
            "id": self.id, "number": self.number, "command": self.command, "input": self.input,
            "base": self.base, "occurredAt": self.occurred_at,
        }  # fmt: skip
        return made if self.unit is None else made | {"unit": self.unit}


@dataclass(frozen=True)
class Draft:
    """A deed before the device has numbered it."""

    command: str
    input: Document
    target: str | None = None
    binding: bool = True
    parents: tuple[str, ...] = ()


class Device(ABC):
    """A device of a person. `skew` is how wrong its clock is."""

    kind: str

    def __init__(self, name: str, id: str, account: str, clock: Clock, skew: timedelta) -> None:
        self.name = name
        self.id = id
        self.account = account
        self.clock = clock
        self.skew = skew
        self.token: str | None = None
        # The form in which its app writes inputs.
        self.schema = 2
        self.revoked = False
        # Whether all that it pulled is complete, as of when it was answered.
        self.complete = False
        # Whether its copy ever was, since it was begun.
        self.whole = False

    @property
    def wonders(self) -> bool:
        """Whether it has to push though it has nothing new: the server's history may be another."""
        return False

    @abstractmethod
    def rows(self) -> dict[str, Document]:
        """The copy as the server last said it, without the device's own pending work."""

    @abstractmethod
    def pending(self) -> list[Deed]:
        """What was done here and not decided yet, in the order it was done."""

    def marks(self) -> list[str | None]:
        """What it names to the server as seen and accepted."""
        return []

    def kept(self) -> list[Deed]:
        """What it is able to hand in, or to hand in once more when its cursor holds no more."""
        return self.pending()

    @abstractmethod
    def recent(self) -> list[Deed]:
        """What was accepted but is not in the copy yet, as far as the device can tell."""

    @abstractmethod
    def do(self, drafts: list[Draft], unit: bool) -> list[Deed]:
        """Keep what a person did; a unit is all or nothing."""

    @abstractmethod
    async def push(self, network: Network) -> None:
        """Hand in what waits, once, over whatever network there is."""

    @abstractmethod
    async def pull(self, network: Network, pages: int) -> None:
        """Fetch up to so many pages; `complete` afterwards where nothing more waited."""

    @abstractmethod
    def resync(self) -> None:
        """The server is another than before."""

    @abstractmethod
    def wipe(self) -> None:
        """Erase the copy and what waits."""

    @abstractmethod
    def crash(self) -> None:
        """The app dies: what was not stored is gone."""

    def now(self) -> str:
        return (self.clock.at + self.skew).isoformat().replace("+00:00", "Z")

    def new_id(self) -> str:
        return str(self.clock.new_id(self.skew))


@dataclass
class Person:
    """Somebody with an account, and the devices they use."""

    name: str
    account: str
    role: str
    technician: str | None = None
    devices: list[Device] = field(default_factory=list)
