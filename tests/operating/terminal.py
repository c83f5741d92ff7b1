"""The command line in this process: what it prints, what it says on the standard error, how it exits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from tournee.cli import main


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    error: str


@dataclass(frozen=True)
class Terminal:
    """Runs `tournee` with arguments against one database."""

    patch: pytest.MonkeyPatch
    url: str

    def __call__(self, *arguments: str, stdin: str | None = None) -> Said:
        self.patch.setenv("DATABASE_URL", self.url)
        ran = CliRunner().invoke(main, list(arguments), input=stdin)
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return Said(ran.exit_code, ran.stdout, ran.stderr)

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """The one line of a command that did not do what was asked, and printed nothing else."""
        said = self(*arguments, stdin=stdin)
        assert said.code != 0, said
        assert said.out == ""
        (line,) = said.error.splitlines()
        return line
