"""`tournee reporting-role`."""

from __future__ import annotations

from typing import Annotated

import typer

from tournee.cli import shared


def reporting_role(
    name: Annotated[
        str, typer.Argument(help="The role of PostgreSQL; docs/operating.md says how to make it.")
    ],
    organisation: Annotated[str | None, typer.Option(help="Name or id; needed if there are several.")] = None,
) -> None:
    """Let a role of PostgreSQL read the reporting views of one organisation, and of no other."""
    from tournee.kernel.command import Kernel  # noqa: PLC0415
    from tournee.operating.accounts import find_organisation  # noqa: PLC0415 - brings in every domain
    from tournee.operating.reporting_roles import bind  # noqa: PLC0415

    async def do(kernel: Kernel) -> str:
        chosen = await find_organisation(kernel.database, organisation)
        await bind(kernel.database, name, chosen.id)
        return str(chosen)

    print(f"{name} reads the views reporting_… of {shared.perform(do)}.")
