"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tournee.backups.archive import BackupFailed

# Suffixes of the files that SQLite keeps beside a database.
_COMPANIONS = ("", "-wal", "-shm", "-journal")


def require_new(target: Path) -> None:
    """Raise BackupFailed if there is such a file."""
    if os.path.lexists(target):
        raise BackupFailed(f"{target} already exists: name a new file.")


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """Yield a new file beside the target that only its owner can read, and remove it at the end."""
    try:
        handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    except OSError as problem:
        raise BackupFailed(f"{target} cannot be written: {problem.strerror}.") from None
    os.close(handle)
    try:
        yield Path(name)
    finally:
        for companion in _COMPANIONS:
            Path(f"{name}{companion}").unlink(missing_ok=True)


def appear(part: Path, target: Path) -> None:
    """Give a finished file its name; raise if another file has taken that name meanwhile."""
    _onto_disk(part)
    try:
        target.hardlink_to(part)
    except OSError as problem:
        if isinstance(problem, FileExistsError) or os.path.lexists(target):
            raise BackupFailed(f"{target} already exists.") from None
        # Some file systems have no hard links.
        part.rename(target)
    _onto_disk(target.parent)


def replace(part: Path, target: Path) -> None:
    """Give a finished file its name, and replace the file that had it."""
    _onto_disk(part)
    part.replace(target)
    _onto_disk(target.parent)


def _onto_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        # Some file systems cannot sync a folder.
        if not path.is_dir():
            raise
    finally:
        os.close(handle)
