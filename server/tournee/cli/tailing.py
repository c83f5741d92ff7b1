"""`tournee tail`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tournee.cli import shared
from tournee.tailing.formats import Format

if TYPE_CHECKING:
    from uuid import UUID

    from tournee.engine.database import Database
    from tournee.sync.http.wake import Wake
    from tournee.sync.pull.cursor import Cursor
    from tournee.tailing.following import Copied


def tail(
    kind: Annotated[
        Format,
        typer.Option("--format", help="Lines of JSON, Parquet (needs the extra `archive`), or SQLite."),
    ],
    out: Annotated[Path, typer.Option(help="The folder for the copy; it is created if it does not exist.")],
    since: Annotated[
        str | None,
        typer.Option(
            help="Begin a new copy after this cursor, the `cursor` of a change in GraphQL, or `now`. By"
            " default at the beginning of the log. A folder that holds a copy goes on where it ends."
        ),
    ] = None,
    organisation: Annotated[str | None, typer.Option(help="Name or id; needed if there are several.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End when all commits so far are copied.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Least seconds between two files.")] = 5.0,
) -> None:
    """Copy an organisation's change log to files as it grows, for DuckDB, pandas or a warehouse.

    Each entry is in the copy exactly once, even if this command is killed: run it again with the same folder.
    `schema.json` describes the columns. SIGTERM ends the command after the file under way.
    """
    from tournee.archiving.parquet import ArchiveFailed  # noqa: PLC0415
    from tournee.backups.archive import BackupFailed  # noqa: PLC0415
    from tournee.tailing.entries import TailFailed  # noqa: PLC0415

    try:
        shared.perform(
            lambda kernel: _copy(kernel.database, organisation, since, kind, out, None if once else every)
        )
    except (TailFailed, ArchiveFailed, BackupFailed) as problem:
        shared.fail(str(problem))


async def _copy(
    database: Database, named: str | None, since: str | None, kind: Format, out: Path, every: float | None
) -> None:
    from tournee.catalogue import sync_contract  # noqa: PLC0415
    from tournee.operating.accounts import find_organisation  # noqa: PLC0415
    from tournee.sync.contract import HORIZON_DAYS  # noqa: PLC0415
    from tournee.sync.pull.position import write_position  # noqa: PLC0415
    from tournee.tailing.folder import opened, started  # noqa: PLC0415
    from tournee.tailing.following import Tailing  # noqa: PLC0415

    id = (await find_organisation(database, named)).id
    start = started(out) or await _start(database, id, since)
    with opened(out, id, kind, start, sync_contract(HORIZON_DAYS)) as folder:
        tailing = Tailing(database, id, folder.store, _tell)
        if every is None:
            end, _ = await tailing.catch_up(folder.end)
        else:
            async with _waking(database) as wake:
                end = await tailing.follow(folder.end, every, wake)
    print(f"The copy ends at {write_position(end)}")


async def _start(database: Database, organisation_id: UUID, since: str | None) -> Cursor:
    """Return where a new copy begins, if the log goes on from there."""
    from tournee.kernel.head import read_head  # noqa: PLC0415
    from tournee.sync.pull.cursor import Cursor  # noqa: PLC0415
    from tournee.sync.pull.position import read_position  # noqa: PLC0415
    from tournee.tailing.following import require_continuous  # noqa: PLC0415

    async with database.reading(organisation_id) as session:
        head = await read_head(session)
        try:
            start = Cursor.at(head) if since == "now" else read_position(since) if since else None
        except ValueError:
            shared.fail("--since: this is not a cursor: take the `cursor` of a change, or `now`.")
        start = start or Cursor(head.epoch, 0)
        await require_continuous(session, start, head)
    return start


def _tell(copied: Copied) -> None:
    print(f"{copied.where}: {copied.count:,} entries, up to {copied.end.seq:,}", flush=True)


@asynccontextmanager
async def _waking(database: Database) -> AsyncIterator[Wake]:
    """Yield what wakes for new entries, and closes at a signal to stop."""
    from tournee.engine.heads import Heads  # noqa: PLC0415
    from tournee.sync.http.wake import Wake  # noqa: PLC0415

    heads = Heads(database)
    wake = Wake(database, heads, listen_url=shared.settings().listen_url)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows has no such handlers.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, wake.close)
    await wake.start()
    try:
        yield wake
    finally:
        await wake.stop()
        await heads.close()
