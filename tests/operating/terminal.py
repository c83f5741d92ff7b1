"""The command line in this process: its output, standard error and exit code."""

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
        """Run a command that is refused and return the one line that it prints."""
        said = self(*arguments, stdin=stdin)
        assert said.code != 0, said
        assert said.out == ""
        (line,) = said.error.splitlines()
        return line
