"""The command line: `tournee run`, `tournee migrate`, `tournee schema` …, one module for each subject."""

from __future__ import annotations

import os

import typer

from tournee.cli import (
    archiving,
    backups,
    database,
    importing,
    keys,
    moving,
    people,
    reports,
    schema,
    serving,
    settings,
    tailing,
)


def keep_private(context: typer.Context) -> None:
    """Let only the server's user read the files that commands write: data, keys, reports, backups."""
    before = os.umask(0o077)
    context.call_on_close(lambda: os.umask(before))


main = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Tournée, a backend for service operations.",
    callback=keep_private,
)

main.command()(serving.run)
main.command()(database.migrate)
main.command()(database.distribute)
main.command()(schema.schema)
main.command()(settings.settings)
main.command()(backups.backup)
main.command()(backups.restore)
main.command()(database.restored)
main.command()(moving.export_organisation)
main.command()(moving.import_organisation)
main.command()(archiving.archive)
main.command()(tailing.tail)
main.command()(reports.reporting_role)
main.command(name="import")(importing.import_)
main.add_typer(keys.keys, name="keys")
main.add_typer(people.organisation, name="organisation")
main.add_typer(people.account, name="account")
