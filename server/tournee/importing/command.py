"""`tournee import`: read a file by a mapping, and write it through the commands."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO
from uuid import UUID

from sqlalchemy import select

from tournee.auth.models import Account, AccountStatus
from tournee.auth.organisations import actor_of, found_organisation, importer_of
from tournee.auth.roles import Role
from tournee.catalogue import MEMBERSHIPS
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.importing.mapping.model import Mapping, UnusableMapping, load_mapping
from tournee.importing.planning.plan import Plan
from tournee.importing.planning.planner import Planner
from tournee.importing.planning.together import Places
from tournee.importing.reporting import Progress, Report, Tally, summary
from tournee.importing.sources.lines import UnusableFile
from tournee.importing.sources.opening import open_lines
from tournee.importing.writing.stores import DryRun
from tournee.importing.writing.writer import Writer, is_of_the_database
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.entity import Organisation, new_id

_BATCH = 1000
_BATCH_CHARACTERS = 4_000_000
# After these batches the tables are many times larger than the planner's statistics say.
_GROWN = frozenset({1, 8, 64, 512, 4096})


class UnusableAccount(ValueError):
    """There is no such organisation or account to import as."""


class UnusableReport(ValueError):
    """The report cannot be written to the given place."""


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    file: Path
    mapping: Path
    organisation: str | None = None
    create_organisation: str | None = None
    account: str | None = None
    report: Path | None = None
    dry_run: bool = False
    limit: int | None = None
    strict: bool = False
    batch: int = _BATCH


def import_file(
    database_url: str, options: Options, out: TextIO | None = None, *, prepares: bool = True
) -> int:
    """Import a file. Return 0 if all of it is in the database, 1 if some of it is not (with `strict`, if the
    report has any remark), and 2 if the file, the mapping or the account cannot be used.
    """
    try:
        clear_report(options)
        # The ids of imported records are scattered over the indexes; SQLite's usual cache holds too few
        # pages.
        database = Database(database_url, cache_megabytes=64, prepares=prepares)
        tally = asyncio.run(_import(database, options, out or sys.stdout))
    except (UnusableMapping, UnusableFile, UnusableAccount, UnusableReport) as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    except Exception as problem:
        if not is_of_the_database(problem):
            raise
        why = str(getattr(problem, "orig", None) or problem.__cause__ or problem).strip().partition("\n")[0]
        sys.stderr.write(f"The database failed: {why}. Imported records stay; start the import again.\n")
        return 2
    wrong = _shortfall(tally, strict=options.strict)
    sys.stderr.write(f"{wrong}\n" if wrong else "")
    return 1 if wrong else 0


def clear_report(options: Options) -> None:
    """Remove an earlier run's report, so that nobody mistakes it for this one's; raises UnusableReport."""
    report = report_path(options)
    for own in (options.file, options.mapping):
        if report.resolve() == own.resolve():
            raise UnusableReport(f"--report: {report} is a file that the import reads; name another file")
    try:
        report.unlink(missing_ok=True)
    except OSError as error:
        raise UnusableReport(f"--report: {report} cannot be written: {error.strerror}") from None


def _shortfall(tally: Tally, *, strict: bool) -> str | None:
    """Return why this import is not a success; None if it is one."""
    if not tally.recorded:
        return "Nothing was imported."
    if tally.lost:
        return f"{tally.lost:,} lines or records were not imported; the report says why."
    if strict and tally.reasons.total():
        return f"There are {tally.reasons.total():,} remarks in the report, and --strict allows none."
    return None


async def _import(database: Database, options: Options, out: TextIO) -> Tally:
    mapping = load_mapping(options.mapping)
    for name in mapping.unread_columns():
        problem = f"{options.mapping}: no record uses [columns.{name}]; is the name right?"
        if options.strict:
            raise UnusableMapping(problem)
        sys.stderr.write(f"{problem}\n")
    # Check the mapping and the file first, so that a mistake in them creates no organisation.
    _planner(mapping, options, UUID(int=0))
    with open_lines(options.file, mapping):
        pass
    try:
        actor = await find_actor(database, options)
        tally = await run_import(Kernel(database, MEMBERSHIPS), actor, mapping, options)
    finally:
        await database.close()
    out.write(summary(tally, [record.label for record in mapping.record]) + "\n")
    out.write(f"The report is in {report_path(options)}.\n")
    if options.dry_run:
        out.write("This was a dry run: nothing was written.\n")
    return tally


def report_path(options: Options) -> Path:
    return options.report or Path(f"{options.file.name}.report.jsonl")


def _planner(mapping: Mapping, options: Options, organisation_id: UUID) -> Planner:
    try:
        return Planner(mapping, organisation_id)
    except UnusableMapping as problem:
        raise UnusableMapping(f"{options.mapping}: {problem}") from None


async def run_import(kernel: Kernel, actor: Actor, mapping: Mapping, options: Options) -> Tally:
    """Read the file to its end, a batch of lines at a time."""
    planner = _planner(mapping, options, actor.organisation_id)
    writer = Writer(kernel, actor, DryRun(actor) if options.dry_run else None)
    tally = Tally()
    progress = Progress(sys.stderr, options.file.stat().st_size)
    with (
        _few_collections(),
        _looked_ahead(planner, mapping, options),
        _report_file(options) as file,
        open_lines(options.file, mapping) as (lines, counted),
    ):
        report = Report(file, tally)
        batches = _batches(planner.plans(lines, options.limit), options.batch)
        number = 0
        async with aclosing(_planned_ahead(batches)) as ahead:
            async for plans in ahead:
                number += 1
                written = await writer.write(plans)
                if number in _GROWN and not options.dry_run:
                    await kernel.database.analyse()
                report.add([problem for plan in plans for problem in plan.problems] + written.problems)
                tally.add(plans, written)
                progress.show(tally, counted.read_bytes)
        if options.limit is None:
            report.add(planner.unseen_columns())
    if tally.changed and not options.dry_run:
        await kernel.database.analyse()
    return tally


@contextmanager
def _few_collections() -> Iterator[None]:
    """Collect garbage less often: an import makes many objects and few cycles, and the search for cycles
    takes a tenth of its time.
    """
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 5, 5)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*usual)


def _report_file(options: Options) -> IO[bytes]:
    try:
        return report_path(options).open("wb")
    except OSError as error:
        raise UnusableReport(f"--report: {report_path(options)}: {error.strerror}") from None


@contextmanager
def _looked_ahead(planner: Planner, mapping: Mapping, options: Options) -> Iterator[None]:
    """Read the whole file once to find keys that appear in several places, if the mapping needs that."""
    if not planner.looks_ahead:
        yield
        return
    with closing(Places()) as places:
        with open_lines(options.file, mapping) as (lines, _):
            planner.look_ahead(lines, places)
        yield


async def _planned_ahead(batches: Iterator[list[Plan]]) -> AsyncGenerator[list[Plan]]:
    """Yield batches of plans; a thread plans the next batch while the database writes this one."""
    coming = asyncio.create_task(asyncio.to_thread(next, batches, None))
    try:
        while (plans := await coming) is not None:
            coming = asyncio.create_task(asyncio.to_thread(next, batches, None))
            yield plans
    finally:
        # Wait for the thread, because the caller closes the file that it reads.
        await asyncio.gather(coming, return_exceptions=True)


def _batches(plans: Iterable[Plan], most: int) -> Iterator[list[Plan]]:
    """Yield plans in batches that fit into memory."""
    batch: list[Plan] = []
    size = 0
    for plan in plans:
        batch.append(plan)
        size += plan.size
        if len(batch) >= most or size > _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def find_actor(database: Database, options: Options) -> Actor:
    """Return the actor of the import: the named account, or by default the organisation's first manager, or
    without one the import itself.
    """
    organisation_id = await _organisation(database, options)
    active = select(Account).where(Account.status == AccountStatus.ACTIVE)
    if options.account is not None:
        wanted = active.where(Account.email == options.account.strip().lower())
    else:
        wanted = active.where(Account.role == Role.MANAGER).order_by(Account.created_at, Account.id)
    async with database.reading(organisation_id) as session:
        account = await session.scalar(wanted.limit(1))
    if account is not None:
        return actor_of(organisation_id, account.id, account.role)
    if options.account is not None:
        raise UnusableAccount(f"--account: the organisation has no active account {options.account!r}")
    return importer_of(organisation_id)


async def _organisation(database: Database, options: Options) -> UUID:
    wanted = options.organisation or options.create_organisation
    async with database.reading(ACROSS) as session:
        rows = (await session.execute(select(Organisation.id, Organisation.name))).all()
    matching = [id for id, name in rows if wanted is None or wanted in (name, str(id))]
    if len(matching) == 1:
        return UUID(str(matching[0]))
    if options.create_organisation is not None and not matching:
        id = new_id()
        await found_organisation(database, id, options.create_organisation)
        return id
    names = ", ".join(sorted(f"{name} ({id})" for id, name in rows)) or "none yet: use --create-organisation"
    raise UnusableAccount(f"--organisation: name one of them by name or id: {names}")
