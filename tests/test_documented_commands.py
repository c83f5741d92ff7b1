"""Every `tournee …` in the documents is a valid command line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer import Exit

from tournee.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "SECURITY.md"]


def command_lines(text: str) -> Iterator[list[str]]:
    """Return those in code blocks, and those in backticks with more than a command's name."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`(tournee [^`]+)`", text)
    for line in lines:
        command = re.sub(r"\s(\||>|&&|#).*", "", line).strip()
        if command.startswith("tournee "):
            yield shlex.split(command)[1:]


def problem(arguments: list[str]) -> str | None:
    """Return the command line's error before it does anything; `…` stands for omitted arguments."""
    program = typer.main.get_command(main)
    context, command = typer.Context(program), program
    try:
        while hasattr(command, "resolve_command") and arguments:
            name, command, arguments = command.resolve_command(context, arguments)
            context = typer.Context(command, parent=context, info_name=name)
        if arguments and "…" not in arguments:
            command.make_context(str(context.info_name), [*arguments], parent=context.parent)
    except Exit as shown:
        # `--help` and other options that only print something.
        return None if shown.exit_code == 0 else f"Exit: {shown.exit_code}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the document is wrong
        return f"{type(error).__name__}: {error}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documented_commands_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    wrong = {" ".join(line): said for line in command_lines(text) if (said := problem(line)) is not None}
    assert wrong == {}


def test_a_wrong_command_line_is_detected() -> None:
    text = "```sh\ntournee frobnicate\ntournee account add a@b.c --rule X\n```\nand `tournee account add me`"
    found = list(command_lines(text))
    assert len(found) == 3
    assert all(problem(line) is not None for line in found)
