"""The context of resolvers: the actor, the kernel, and the loaders of this one operation."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import strawberry

from tournee.api.load import Load
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.entity import new_id
from tournee.sync.contract import HORIZON_DAYS
from tournee.sync.http.wake import Wake
from tournee.sync.pull.feed import Feed

# The limit of GitHub's API.
COST_LIMIT = 500_000


async def _nothing_to_check() -> None:
    return None


@dataclass
class Context:
    """The context of one operation. A WebSocket has one for its connection; each operation gets a copy.

    `authorise` raises once the token is no longer valid; long answers call it again and again.
    """

    kernel: Kernel
    actor: Actor
    feed: Feed
    wake: Wake | None = None
    request_id: str = field(default_factory=lambda: str(new_id()))
    authorise: Callable[[], Awaitable[None]] = _nothing_to_check
    horizon_days: int = HORIZON_DAYS
    introspection: bool = True
    suggestions: bool = True
    # The most rows that an operation may ask for, and whether its answer says how many it asks for.
    cost_limit: int = COST_LIMIT
    wants_cost: bool = False
    # Whether the operation asks for fields that the actor may not read.
    checks_fields: bool = False
    # The key of the request and the hash of its body, if it has one.
    idempotency: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        self.load = Load(self.actor, self.kernel.reading_lists, self.kernel.query_seconds)

    def copy(self) -> Context:
        return dataclasses.replace(self)

    @property
    def closing(self) -> bool:
        """Whether the server is about to stop."""
        return self.wake is not None and self.wake.closing.is_set()

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Close the loaders after the block; if nobody waits for it any more, stop what they read."""
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            await self.load.abandon()
            raise
        finally:
            await self.load.close()

    async def renew(self) -> None:
        """See what was committed meanwhile: after a mutation, and before each event of a subscription."""
        await self.load.close()
        self.load = Load(self.actor, self.kernel.reading, self.kernel.query_seconds)


Info: TypeAlias = strawberry.Info[Context, None]
