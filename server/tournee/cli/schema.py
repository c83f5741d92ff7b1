"""`tournee schema`: print the contract from the code."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tournee import shipped


def schema(
    check: Annotated[bool, typer.Option(help="Only check whether the printed schema is current.")] = False,
) -> None:
    """Print the GraphQL schema to schema/schema.graphql."""
    from tournee.api.schema import sdl  # noqa: PLC0415 - builds the whole schema

    file = shipped.folder("schema") / "schema.graphql"
    if not check:
        file.write_text(sdl(), "utf-8")
    elif not file.exists() or file.read_text("utf-8") != sdl():
        print("schema/schema.graphql is not current: run `make schema` and commit it.", file=sys.stderr)
        raise typer.Exit(1)
