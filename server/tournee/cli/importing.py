"""`tournee import`: a file through the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tournee import shipped
from tournee.cli import shared


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or an Excel workbook; text also as gzip.")],
    mapping: Annotated[Path, typer.Option(help="Says which column becomes which field: docs/importing.md.")],
    organisation: Annotated[
        str | None, typer.Option(help="Its name or id; needed if there are several.")
    ] = None,
    create_organisation: Annotated[
        str | None, typer.Option(help="Name of one to found if it is not there.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Email of who imports; else the first manager.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Where to write what was wrong with which line.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check and report, write nothing.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Read only so many lines.")] = None,
    strict: Annotated[bool, typer.Option(help="End with 1 if there is anything in the report.")] = False,
) -> None:
    """Import a file of customers, sites, assets, readings, past audits and more, by a mapping."""
    from tournee.importing.command import Options, import_file  # noqa: PLC0415 - brings in every domain

    settings = shared.settings()
    if settings.is_embedded:
        shared.prepare(settings)
    shared.migrate(settings.database_url)
    chosen = shipped.mapping(mapping)
    options = Options(
        file, chosen, organisation, create_organisation, account, report, dry_run, limit, strict
    )
    raise typer.Exit(import_file(settings.database_url, options))
