"""`tournee export-organisation` and `tournee import-organisation`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tournee.cli import backups, shared
from tournee.engine.freezing import freeze
from tournee.operating import accounts

if TYPE_CHECKING:
    from tournee.auth.keys.store import KeyStore
    from tournee.backups.archive import Manifest
    from tournee.engine.database import Database


def export_organisation(
    organisation: Annotated[str, typer.Argument(help="Name or id of the organisation.")],
    out: Annotated[Path, typer.Option(help="A new file; only its owner can read it.")],
    freezes: Annotated[
        bool, typer.Option("--freeze", help="Freeze the organisation first, so that the file misses nothing.")
    ] = False,
) -> None:
    """Save one organisation to a file, for another database, even while the server runs.

    The file holds all its data and the keys of its devices' cursors, unencrypted: protect it like a backup.
    """
    from tournee.backups.moving import export  # noqa: PLC0415 - brings in every domain

    async def save(database: Database, keys: KeyStore) -> Manifest:
        chosen = await accounts.find_organisation(database, organisation)
        if freezes:
            await freeze(database, chosen.id)
        return await export(database, keys, chosen.id, out)

    manifest = _perform(save, out)
    moved = manifest.organisation
    assert moved is not None
    print(f"Saved {moved} at number {moved.seq:,} of its log: {_size(manifest)}.")


def import_organisation(
    file: Annotated[Path, typer.Argument(help="The file that `tournee export-organisation` wrote.")],
) -> None:
    """Add an organisation from a file, even while the server runs: all of it or nothing.

    Its devices go on with their cursors and refresh tokens. Both sides must run the same version.
    """
    from tournee.backups.moving import import_  # noqa: PLC0415 - brings in every domain

    manifest = _perform(lambda database, keys: import_(database, keys, file), file)
    moved = manifest.organisation
    assert moved is not None
    print(f"Added {moved} at number {moved.seq:,} of its log: {_size(manifest)}.")


def _size(manifest: Manifest) -> str:
    return f"{sum(manifest.tables.values()):,} rows in {len(manifest.tables)} tables"


def _perform(work: Callable[[Database, KeyStore], Awaitable[Manifest]], file: Path) -> Manifest:
    from tournee.auth.keys.store import KeyStore  # noqa: PLC0415 - brings in every domain
    from tournee.auth.keys.vault import UnusableSecret  # noqa: PLC0415

    settings = shared.settings()
    with backups.one_line(file):
        try:
            return shared.perform(lambda kernel: work(kernel.database, KeyStore(kernel.database, settings)))
        except UnusableSecret as problem:
            shared.fail(str(problem), 2)
