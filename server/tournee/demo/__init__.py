"""The demo organisation: invented people and work to look at, entered through the real commands."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import chain
from typing import Any
from uuid import UUID

import tournee.assets.demo
import tournee.customers.demo
import tournee.people.demo
import tournee.procedures.demo
import tournee.quality.demo
import tournee.stock.demo
import tournee.webhooks.demo
import tournee.work.demo
from tournee.auth.models import Account
from tournee.auth.organisations import actor_of, found, organisation_exists
from tournee.auth.passwords import hash_password
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS
from tournee.demo import clashes
from tournee.demo import large as more
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.demo import demo_id
from tournee.kernel.entity import Entity, now
from tournee.kernel.errors import Conflict
from tournee.kernel.transaction import Operation, Transaction

PASSWORD = "demo"  # noqa: S105 - public on purpose: the server answers only this machine

# Name of the account, what it is for; `name@demo.example` signs in.
ACCOUNTS: tuple[tuple[str, Role, str], ...] = (
    ("technician", Role.TECHNICIAN, "Demo Technician One"),
    ("technician2", Role.TECHNICIAN, "Demo Technician Two"),
    ("dispatcher", Role.DISPATCHER, "Demo Dispatcher"),
    ("manager", Role.MANAGER, "Demo Manager"),
    ("auditor", Role.AUDITOR, "Demo Auditor"),
    ("reporting", Role.REPORTING, "Demo Reporting"),
    ("portal", Role.CUSTOMER_PORTAL, "Demo Customer"),
)
OTHER_MANAGER = "manager@other.example"

_DOMAINS = (
    tournee.people.demo,
    tournee.customers.demo,
    tournee.assets.demo,
    tournee.procedures.demo,
    tournee.work.demo,
    tournee.stock.demo,
    tournee.quality.demo,
    tournee.webhooks.demo,
)

_Operations = Iterator[tuple[str, str, dict[str, Any]]]


def emails() -> list[str]:
    """Return the e-mails that can sign in with PASSWORD."""
    return [*(f"{name}@demo.example" for name, _, _ in ACCOUNTS), OTHER_MANAGER]


async def seed(kernel: Kernel, today: date, *, large: bool = False) -> None:
    """Add both organisations; an existing one is left alone. Each is added whole or not at all.

    The small demo has a row or two of everything; `large` adds enough to look at.
    """
    both = (demo_id("organisation/demo"), demo_id("organisation/other"))
    if all([await organisation_exists(kernel.database, id) for id in both]):
        return
    # One hash for all accounts: making nine takes longer than everything else here.
    password_hash = await hash_password(PASSWORD)
    operations = chain(_demo(today), more.operations(today)) if large else _demo(today)
    await _seed(
        kernel, demo_id("organisation/demo"), "Demo Service", operations, "account/manager", password_hash
    )
    if large:
        await clashes.play(kernel, today)
    await _seed(
        kernel,
        demo_id("organisation/other"),
        "Other Service",
        _other(),
        "account/other-manager",
        password_hash,
    )


async def _seed(
    kernel: Kernel, id: UUID, name: str, operations: _Operations, founder: str, password_hash: str
) -> None:
    if await organisation_exists(kernel.database, id):
        return
    manager = actor_of(id, demo_id(founder), Role.MANAGER)
    todo = list(operations)

    async def work(tx: Transaction) -> Entity:
        await found(tx.session, id, name, "Europe/Paris")
        await tx.ahead.reserve(UUID(payload["id"]) for _, _, payload in todo if "id" in payload)
        done = [
            await _perform(tx, _actor(id, Role(role), manager), command, payload, password_hash)
            for role, command, payload in todo
        ]
        return done[-1]

    try:
        await kernel.transact(manager, work)
    except Conflict:
        # Another server, started at the same time, may have added it first.
        if not await organisation_exists(kernel.database, id):
            raise


def _actor(organisation_id: UUID, role: Role, manager: Actor) -> Actor:
    if role is Role.MANAGER:
        return manager
    name = next(name for name, its_role, _ in ACCOUNTS if its_role is role)
    return actor_of(organisation_id, demo_id(f"account/{name}"), role)


async def _perform(
    tx: Transaction, actor: Actor, name: str, payload: dict[str, Any], password_hash: str
) -> Entity:
    command = COMMANDS[name]
    tx.actor = actor
    done: Entity = await command.run(tx, command.parse(payload), Operation(command.name, now()))
    if isinstance(done, Account):
        # The command rightly refuses this password as too short.
        async with tx.running(Operation("setPassword", now())):
            account = await tx.find(Account, done.id)
            account.set_password(password_hash, now())
    return done


def _demo(today: date) -> _Operations:
    # The portal's customer must exist before the portal's account.
    for name, role, label in ACCOUNTS:
        if role is not Role.CUSTOMER_PORTAL:
            yield _account(f"account/{name}", f"{name}@demo.example", role, label)
    for domain in _DOMAINS:
        yield from domain.operations(today)
        if domain is tournee.customers.demo:
            yield _account(
                "account/portal", "portal@demo.example", Role.CUSTOMER_PORTAL, "Demo Customer", "customer/1"
            )


def _other() -> _Operations:
    yield _account("account/other-manager", OTHER_MANAGER, Role.MANAGER, "Other Manager")
    customer = {"id": str(demo_id("customer/other")), "name": "Other Bakery"}
    yield Role.MANAGER, "createCustomer", customer


def _account(
    id: str, email: str, role: Role, name: str, customer: str | None = None
) -> tuple[str, str, dict[str, Any]]:
    values = {"id": str(demo_id(id)), "email": email, "name": name, "role": role.value, "language": "en"}
    if customer is not None:
        values["customerId"] = str(demo_id(customer))
    return Role.MANAGER, "createAccount", values
