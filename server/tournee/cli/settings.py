"""`tournee settings`: the list of all settings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tournee import shipped
from tournee.settings import Settings, read_settings


def settings(
    write: Annotated[bool, typer.Option(help="Put the table into docs/operating.md.")] = False,
) -> None:
    """Print every setting with its default, as a Markdown table."""
    if not write:
        print(as_markdown())
        return
    page = shipped.folder("docs") / "operating.md"
    page.write_text(with_settings(page.read_text("utf-8")), "utf-8")


def as_markdown() -> str:
    """Return the table of all settings."""
    default = read_settings({})
    rows = [
        f"| `{field.validation_alias}` | {_shown(getattr(default, name))} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | what it does |", "| --- | --- | --- |", *rows])


_BEGIN, _END = "<!-- settings: printed by `make schema` -->", "<!-- end of settings -->"


def with_settings(page: str) -> str:
    """Return the page with the current table between its two marks."""
    before, _, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError("The page has no place for the settings.")
    return f"{before}{_BEGIN}\n\n{as_markdown()}\n\n{_END}{after}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        value = int(value)
    text = " ".join(value) if isinstance(value, tuple) else str("" if value is None else value)
    return f"`{text}`" if text else ""
