"""The command line: `tournee run`, `tournee migrate`, `tournee schema` …, one module a noun."""

from __future__ import annotations

import typer

from tournee.cli import database, importing, keys, people, schema, serving, settings

main = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Tournée, a backend for service operations."
)

main.command()(serving.run)
main.command()(database.migrate)
main.command()(schema.schema)
main.command()(settings.settings)
main.command()(keys.rotate_keys)
main.command()(database.restored)
main.command(name="import")(importing.import_)
main.add_typer(people.organisation, name="organisation")
main.add_typer(people.account, name="account")
