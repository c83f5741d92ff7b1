"""Play the day against the server at TOURNEE_URL, one that already runs here, or a new one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2

from examples.offline_day.day import play
from examples.offline_day.office import Refused
from examples.offline_day.serving import NoServer, serving
from tournee_client import TourneeError


@contextmanager
def _scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="tournee-demo-") as directory:
        yield Path(directory)


def main() -> int:
    """Play the day and return the exit code: 0 when every check passed."""
    try:
        with _scratch() as directory, serving(directory) as base_url:
            return asyncio.run(play(base_url, directory))
    except (NoServer, Refused, TourneeError, httpx2.HTTPError) as error:
        print(f"FAILED the day could not be played: {error!r}")
        return 1


sys.exit(main())
