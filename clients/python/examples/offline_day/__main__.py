"""Play the day against a server: the one at TOURNEE_URL, the usual one, or one of its own."""

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
    """Return 0 if all was as it should be."""
    try:
        with _scratch() as directory, serving(directory) as base_url:
            return asyncio.run(play(base_url, directory))
    except (NoServer, Refused, TourneeError, httpx2.HTTPError) as error:
        print(f"FAILED the day could not be played: {error!r}")
        return 1


sys.exit(main())
