"""`tournee archive`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from sqlalchemy.exc import IntegrityError

from tournee.cli import shared

if TYPE_CHECKING:
    from tournee.archiving.planning import Keeping
    from tournee.auth.organisations import Named
    from tournee.engine.database import Database


def archive(
    before: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="Archive what was recorded before this day (UTC).")
    ],
    out: Annotated[Path, typer.Option(help="The folder for the files, which must exist.")],
    organisation: Annotated[
        str | None, typer.Option(help="Name or id of one organisation; all of them by default.")
    ] = None,
) -> None:
    """Move old entries of the change log from the database to Parquet files, even while the server runs.

    The entries of one organisation go to files of their own. Each file is read back before the command
    removes its entries from the database. If the command is interrupted, run it again: it continues, and no
    entry is lost or written twice. Keep the files: they are the only copy of what they hold.

    Entries that devices may still need stay: those of the last TOURNEE_OPERATIONS_DAYS and
    TOURNEE_HORIZON_DAYS. The command refuses a later day.
    """
    from tournee.archiving.parquet import ArchiveFailed, require  # noqa: PLC0415
    from tournee.archiving.planning import Keeping  # noqa: PLC0415
    from tournee.backups.archive import BackupFailed  # noqa: PLC0415

    settings = shared.settings()
    keeping = Keeping(settings.horizon_days, settings.operations_days)
    day = before.replace(tzinfo=UTC)
    _require_possible(day, keeping, out)
    try:
        require()
        shared.perform(lambda kernel: _each(kernel.database, organisation, day, keeping, out))
    except (ArchiveFailed, BackupFailed) as problem:
        shared.fail(str(problem))
    except IntegrityError:
        shared.fail("Another process archives this log: wait until it is done.")
    except OSError as problem:
        shared.fail(f"{problem.filename or out}: {problem.strerror or problem}.")


def _require_possible(day: datetime, keeping: Keeping, out: Path) -> None:
    if day > keeping.since:
        shared.fail(
            f"--before: devices may still need the log since {keeping.since:%Y-%m-%d} ({keeping.days} days,"
            " by TOURNEE_OPERATIONS_DAYS and TOURNEE_HORIZON_DAYS): name an earlier day."
        )
    if not out.is_dir():
        shared.fail(f"--out: {out} is no folder: create it first.")


async def _each(database: Database, named: str | None, day: datetime, keeping: Keeping, out: Path) -> None:
    from tournee.archiving.moving import archive  # noqa: PLC0415
    from tournee.archiving.planning import last_to_archive  # noqa: PLC0415

    for one in await _chosen(database, named):
        until = await last_to_archive(database, one.id, day, keeping)
        moved = await archive(database, one.id, until, out)
        files = "".join(f"\n  {name}" for name in moved.files)
        print(f"{one}: wrote {moved.written:,} entries and removed {moved.removed:,} from the log.{files}")


async def _chosen(database: Database, named: str | None) -> list[Named]:
    from tournee.auth.organisations import every_organisation  # noqa: PLC0415

    organisations = await every_organisation(database)
    if named is None:
        return organisations
    found = [one for one in organisations if named in (one.name, str(one.id))]
    if len(found) != 1:
        problem = "there is no such organisation" if not found else "several have this name: give the id"
        shared.fail(f"--organisation: {problem}: `tournee organisation list` shows them.")
    return found
