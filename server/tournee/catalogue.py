"""The list of domains. Mutations, offline operations, synced entities, memberships and the convergence test
are all made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import tournee.assets.commands
import tournee.assets.models
import tournee.auth.commands
import tournee.auth.database_roles
import tournee.auth.models
import tournee.conflicts.commands
import tournee.customers.commands
import tournee.customers.models
import tournee.kernel.archived
import tournee.kernel.conflict
import tournee.kernel.dormant
import tournee.kernel.lease
import tournee.people.commands
import tournee.people.models
import tournee.procedures.commands
import tournee.procedures.models
import tournee.quality.commands
import tournee.quality.models
import tournee.stock.commands
import tournee.stock.models
import tournee.sync.devices.surrendered
import tournee.sync.models
import tournee.webhooks.commands
import tournee.webhooks.models
import tournee.work.commands
import tournee.work.models
from tournee.auth.roles import require_decisions
from tournee.conflicts.table import require_ways
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.membership import MembershipRule, MembershipRules
from tournee.kernel.registry import register_command
from tournee.sync.contract import SyncContract, contract_of
from tournee.work.today import urgent_scopes

__all__ = ["COMMANDS", "DOMAINS", "ENTITIES", "MEMBERSHIPS", "Domain", "sync_contract", "urgent_scopes"]


@dataclass(frozen=True)
class Domain:
    """A domain; its commands and entities are those that its modules define."""

    name: str
    models: ModuleType
    commands: ModuleType

    def own_entities(self) -> list[type[Entity]]:
        return [
            value
            for value in vars(self.models).values()
            if isinstance(value, type)
            and issubclass(value, Entity)
            and value.__module__.startswith(self.models.__name__)
        ]

    def own_commands(self) -> list[Command[Any, Any]]:
        return [value for value in vars(self.commands).values() if isinstance(value, Command)]

    def membership(self) -> MembershipRule | None:
        """Return the domain's MEMBERSHIP, its rule of which account holds which scope, if it has one."""
        return getattr(self.models, "MEMBERSHIP", None)


DOMAINS: tuple[Domain, ...] = (
    Domain("auth", tournee.auth.models, tournee.auth.commands),
    Domain("people", tournee.people.models, tournee.people.commands),
    Domain("customers", tournee.customers.models, tournee.customers.commands),
    Domain("assets", tournee.assets.models, tournee.assets.commands),
    Domain("procedures", tournee.procedures.models, tournee.procedures.commands),
    Domain("stock", tournee.stock.models, tournee.stock.commands),
    Domain("work", tournee.work.models, tournee.work.commands),
    Domain("quality", tournee.quality.models, tournee.quality.commands),
    Domain("conflicts", tournee.kernel.conflict, tournee.conflicts.commands),
    Domain("webhooks", tournee.webhooks.models, tournee.webhooks.commands),
    Domain("devices", tournee.sync.models, tournee.sync.devices.surrendered),
)

require_decisions()
require_ways()

COMMANDS: dict[str, Command[Any, Any]] = {
    command.name: command for domain in DOMAINS for command in domain.own_commands()
}
ENTITIES: dict[str, type[Entity]] = {
    entity.__name__: entity for domain in DOMAINS for entity in domain.own_entities()
}
for _command in COMMANDS.values():
    register_command(_command)
MEMBERSHIPS = MembershipRules(tuple(rule for domain in DOMAINS if (rule := domain.membership()) is not None))


@cache
def sync_contract(horizon_days: int) -> SyncContract:
    """Return the sync contract of all domains."""
    return contract_of(ENTITIES.values(), COMMANDS.values(), horizon_days)
