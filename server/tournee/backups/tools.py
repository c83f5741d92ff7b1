"""Runs pg_dump and pg_restore, and reports their errors in one line."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Thread
from typing import IO, NamedTuple

from tournee.backups.archive import BackupFailed

_CHUNK = 1 << 20


class Tool(NamedTuple):
    """The path of a PostgreSQL tool, and its major version."""

    path: str
    version: int


def find(name: str, oldest: int) -> Tool:
    """Return the tool on the PATH; raise if it is missing, or older than this major version."""
    path = shutil.which(name)
    wanted = f"the client tools of PostgreSQL {oldest}"
    if path is None:
        raise BackupFailed(f"{name} is not on the PATH: install {wanted}.")
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    version = re.search(r"\) (\d+)", said)
    if version is None:
        raise BackupFailed(f"{path} does not say its version: install {wanted}.")
    if int(version[1]) < oldest:
        raise BackupFailed(
            f"{path} has version {version[1]}, which is too old: install {wanted}, first on the PATH."
        )
    return Tool(path, int(version[1]))


@contextmanager
def output_of(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    source: IO[bytes] | None = None,
) -> Iterator[IO[bytes]]:
    """Run a process with the source as its input, and yield its output; raise its error if it fails."""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - our own command, no shell
            command,
            stdin=subprocess.DEVNULL if source is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
        ) as process,
    ):
        fed = _Feeding(process, source)
        try:
            yield _output(process)
        except BaseException:
            fed.wanted = False
            process.kill()
            raise
        finally:
            code = process.wait()
            fed.join()
        if code != 0:
            errors.seek(0)
            raise BackupFailed(_first_error(errors.read(10_000)) or f"{command[0]} ended with {code}.")
        if fed.failure is not None:
            raise fed.failure


class _Feeding(Thread):
    """Writes a source into a process, and keeps the error if reading the source fails."""

    def __init__(self, process: subprocess.Popen[bytes], source: IO[bytes] | None) -> None:
        super().__init__(daemon=True)
        self._into = process.stdin
        self._source = source
        self.failure: Exception | None = None
        self.wanted = True
        self.start()

    def run(self) -> None:
        if self._source is None or self._into is None:
            return
        try:
            self._feed(self._source, self._into)
        except Exception as problem:  # noqa: BLE001 - raised again after the process has ended
            self.failure = problem
        with suppress(BrokenPipeError):
            self._into.close()

    def _feed(self, source: IO[bytes], into: IO[bytes]) -> None:
        heard = True
        # Read to the end, even if the process has read enough: only that checks the whole source.
        while self.wanted and (chunk := source.read(_CHUNK)):
            if heard:
                try:
                    into.write(chunk)
                except BrokenPipeError:
                    heard = False


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise RuntimeError("The process was started without a pipe.")
    return process.stdout


def _first_error(said: bytes) -> str:
    """Return the first line with an error; later lines only say where it is."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    return next((line for line in lines if "error:" in line), lines[0] if lines else "")
