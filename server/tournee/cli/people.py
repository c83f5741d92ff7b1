"""`tournee organisation …` and `tournee account …`: manage accounts without signing in."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import typer

from tournee.auth.organisations import Named, every_organisation
from tournee.auth.roles import Role
from tournee.cli import shared
from tournee.engine import freezing
from tournee.engine.database import Database
from tournee.operating import accounts
from tournee.operating.accounts import NewAccount

organisation = typer.Typer(no_args_is_help=True, help="Add, list and freeze organisations.")
account = typer.Typer(
    no_args_is_help=True, help="Add, list, disable and enable accounts, and reset passwords."
)

_PasswordStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from the first line of the standard input."),
]
_Organisation = Annotated[
    str | None, typer.Option(help="Name or id of the organisation; needed if several have such an account.")
]
_Named = Annotated[str, typer.Argument(help="Name or id of the organisation.")]
_Email = Annotated[str, typer.Argument(help="The e-mail that the account signs in with.")]


@organisation.command(name="add")
def add_organisation(
    name: Annotated[str, typer.Argument(help="The name of the organisation.")],
    manager: Annotated[str, typer.Option(help="The e-mail that its first manager signs in with.")],
    manager_name: Annotated[str | None, typer.Option(help="The manager's own name.")] = None,
    time_zone: Annotated[str, typer.Option(help="The IANA name of its time zone.")] = "UTC",
    password_stdin: _PasswordStdin = False,
) -> None:
    """Add an organisation and its first manager, and print the password once."""
    password = _password(password_stdin)
    new = NewAccount(manager, Role.MANAGER, password, manager_name)
    made = shared.perform(lambda kernel: accounts.add_organisation(kernel, name, new, time_zone))
    print(f"Added the organisation {made}.")
    _print_password(manager, password, password_stdin)


@organisation.command(name="time-zone")
def set_time_zone(
    organisation: _Named, zone: Annotated[str, typer.Argument(help="An IANA name, such as Europe/Paris.")]
) -> None:
    """Set the time zone that an organisation works in."""

    async def find_and_set(kernel: shared.Kernel) -> str:
        chosen = await accounts.find_organisation(kernel.database, organisation)
        await accounts.set_time_zone(kernel.database, chosen.id, zone)
        return f"{chosen} works in {zone}."

    print(shared.perform(find_and_set))


@organisation.command(name="list")
def list_organisations() -> None:
    """Print one line for each organisation: id, time of creation, name."""
    for one in shared.perform(lambda kernel: every_organisation(kernel.database)):
        print(f"{one.id}  {one.created_at:%Y-%m-%d}  {one.name}")


@organisation.command()
def freeze(organisation: _Named) -> None:
    """Let nothing of an organisation change, while it moves to another database.

    Pushes, mutations and sign-ins get 503 ORGANISATION_FROZEN. Devices keep their outbox and try again later.
    """
    _change(organisation, freezing.freeze, "is frozen", "was frozen already")


@organisation.command()
def thaw(organisation: _Named) -> None:
    """Let an organisation change again. Never do this after it was imported elsewhere."""
    _change(organisation, freezing.thaw, "may change again", "was not frozen")


def _change(
    wanted: str, change: Callable[[Database, UUID], Awaitable[bool]], done: str, already: str
) -> None:
    async def find_and_change(kernel: shared.Kernel) -> str:
        chosen = await accounts.find_organisation(kernel.database, wanted)
        return f"{chosen} {done if await change(kernel.database, chosen.id) else already}."

    print(shared.perform(find_and_change))


@account.command(name="add")
def add_account(
    email: _Email,
    role: Annotated[Role, typer.Option(case_sensitive=False, help="The role of the account.")],
    name: Annotated[str | None, typer.Option(help="The person's name.")] = None,
    organisation: Annotated[str | None, typer.Option(help="Name or id; needed if there are several.")] = None,
    customer: Annotated[UUID | None, typer.Option(help="Id of the customer, for CUSTOMER_PORTAL.")] = None,
    language: Annotated[str | None, typer.Option(help="BCP 47 tag, such as fr or de-CH.")] = None,
    password_stdin: _PasswordStdin = False,
) -> None:
    """Add an account and print its password once; the role TECHNICIAN also adds a technician of that name."""
    password = _password(password_stdin)
    new = NewAccount(email, role, password, name, customer, language)

    async def add(kernel: shared.Kernel) -> Named:
        chosen = await accounts.find_organisation(kernel.database, organisation)
        await accounts.add_account(kernel, chosen.id, new)
        return chosen

    print(f"Added {email} as {role.value} to {shared.perform(add)}.")
    _print_password(email, password, password_stdin)


@account.command(name="password")
def reset_password(
    email: _Email, organisation: _Organisation = None, password_stdin: _PasswordStdin = False
) -> None:
    """Give an account a new password and print it once; its sessions end."""
    password = _password(password_stdin)

    async def reset(kernel: shared.Kernel) -> str:
        known = await accounts.find_account(kernel.database, email, organisation)
        await accounts.reset_password(kernel, known, password)
        return known.account.status

    status = shared.perform(reset)
    print(f"{email} has a new password.")
    _print_password(email, password, password_stdin)
    if status != "ACTIVE":
        print(f"The account is disabled; `tournee account enable {email}` lets it sign in again.")


@account.command()
def disable(email: _Email, organisation: _Organisation = None) -> None:
    """Disable an account at once: its sessions end, and it cannot sign in."""

    async def shut_out(kernel: shared.Kernel) -> None:
        known = await accounts.find_account(kernel.database, email, organisation)
        await accounts.disable(kernel, known)

    shared.perform(shut_out)
    print(f"{email} is disabled.")


@account.command()
def enable(email: _Email, organisation: _Organisation = None) -> None:
    """Let a disabled account sign in again."""

    async def let_in(kernel: shared.Kernel) -> None:
        known = await accounts.find_account(kernel.database, email, organisation)
        await accounts.enable(kernel, known)

    shared.perform(let_in)
    print(f"{email} may sign in again.")


@account.command(name="list")
def list_accounts(
    organisation: Annotated[
        str | None, typer.Option(help="Name or id of an organisation; list only its accounts.")
    ] = None,
) -> None:
    """Print one line for each account: e-mail, role, status, organisation, name."""

    async def find(kernel: shared.Kernel) -> list[accounts.KnownAccount]:
        only = organisation and await accounts.find_organisation(kernel.database, organisation)
        return await accounts.list_accounts(kernel.database, only or None)

    rows = [
        (
            one.account.email,
            one.account.role.value,
            one.account.status.value,
            one.organisation.name,
            one.account.name,
        )
        for one in shared.perform(find)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _password(from_stdin: bool) -> str:
    if not from_stdin:
        return accounts.make_password()
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        shared.fail("--password-stdin: the first line of the standard input must be the password.")
    return password


def _print_password(email: str, password: str, from_stdin: bool) -> None:
    if not from_stdin:
        print(f"{email} signs in with the password {password}")
        print("It is shown only this once.")
