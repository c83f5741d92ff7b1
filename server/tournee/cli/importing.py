"""`tournee import`: import a file through the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tournee import shipped
from tournee.cli import shared


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or an Excel workbook; text also as gzip.")],
    mapping: Annotated[Path, typer.Option(help="Maps columns to fields: docs/importing.md.")],
    organisation: Annotated[
        str | None, typer.Option(help="Name or id of the organisation; needed if there are several.")
    ] = None,
    create_organisation: Annotated[
        str | None, typer.Option(help="Name of an organisation to create if it does not exist.")
    ] = None,
    account: Annotated[
        str | None, typer.Option(help="E-mail of the account that imports; by default the first manager.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="The file for the report of problems, line by line.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check and report, write nothing.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Read only this many lines.")] = None,
    strict: Annotated[bool, typer.Option(help="Exit with 1 if the report has entries.")] = False,
) -> None:
    """Import a file of customers, sites, assets, readings, past audits and more, with a mapping."""
    from tournee.importing.command import Options, import_file  # noqa: PLC0415 - brings in every domain

    settings = shared.settings()
    if settings.is_embedded:
        shared.prepare(settings)
    shared.migrate(settings.database_url)
    chosen = shipped.mapping(mapping)
    options = Options(
        file, chosen, organisation, create_organisation, account, report, dry_run, limit, strict
    )
    raise typer.Exit(import_file(settings.database_url, options, prepares=settings.prepared_statements))
