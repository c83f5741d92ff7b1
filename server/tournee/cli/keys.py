"""`tournee keys`: the keys that sign access tokens and cursors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tournee.cli import shared

if TYPE_CHECKING:
    from tournee.auth.keys.store import KeyStore, StoredKey

ResultT = TypeVar("ResultT")

keys = typer.Typer(no_args_is_help=True, help="The keys that sign access tokens and cursors.")


@keys.command("list")
def list_() -> None:
    """Print every key: its name, what it signs, since when, and when it ends."""
    for key in sorted(_perform(lambda store: store.read()), key=lambda key: (key.purpose, key.used_from)):
        print(_shown(key))


@keys.command()
def rotate(
    cursors: Annotated[bool, typer.Option(help="Rotate the key of cursors instead.")] = False,
) -> None:
    """Add a key that signs access tokens from ten minutes on. Nobody has to sign in again.

    The earlier key ends by itself when what it signed has run out.
    """
    from tournee.auth.keys.models import Purpose  # noqa: PLC0415

    purpose = Purpose.CURSORS if cursors else Purpose.TOKENS
    print(_shown(_perform(lambda store: store.rotate(purpose))))


@keys.command()
def replace() -> None:
    """Delete all keys and make new ones, because somebody has stolen a key or TOURNEE_SECRET_KEY is lost.

    Every access token ends within a minute; apps renew theirs by themselves. Every device starts a new copy,
    and keeps its outbox.
    """
    for key in _perform(lambda store: store.replace()):
        print(_shown(key))


def _perform(work: Callable[[KeyStore], Awaitable[ResultT]]) -> ResultT:
    from tournee.auth.keys.store import KeyStore  # noqa: PLC0415
    from tournee.auth.keys.vault import UnusableSecret  # noqa: PLC0415

    settings = shared.settings()
    try:
        return shared.perform(lambda kernel: work(KeyStore(kernel.database, settings)))
    except UnusableSecret as problem:
        shared.fail(str(problem), 2)


def _shown(key: StoredKey) -> str:
    ends = "" if key.ends_at is None else f", ends {key.ends_at:%Y-%m-%d %H:%M} UTC"
    return f"{key.id}  signs {key.purpose} from {key.used_from:%Y-%m-%d %H:%M} UTC{ends}"
