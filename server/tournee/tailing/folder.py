"""The folder of a copy: whose log it holds, in which format, and from where."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

import orjson

from tournee.backups.files import aside, replace
from tournee.sync.contract import SyncContract
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.position import read_position, write_position
from tournee.tailing.entries import COLUMNS, TailFailed
from tournee.tailing.formats import FORMATS, Format, Store

if sys.platform != "win32":
    import fcntl

_NOTE = "tail.json"


@dataclass(frozen=True)
class Folder:
    """A folder that this process alone writes to, with the store of its entries."""

    path: Path
    store: Store
    start: Cursor
    """Where its first run began."""

    @property
    def end(self) -> Cursor:
        """Where the copy ends, as its files say."""
        mark = self.store.end()
        return self.start if mark is None else Cursor(self.start.epoch, mark.seq, mark=mark)


@contextmanager
def opened(
    path: Path, organisation_id: UUID, kind: Format, start: Cursor, contract: SyncContract
) -> Iterator[Folder]:
    """Open the folder for this copy; a new one begins at `start`. Raises TailFailed."""
    path.mkdir(parents=True, exist_ok=True)
    with (path / "tail.lock").open("a") as lock:
        _take(lock, path)
        _remove_unfinished(path)
        start = _begun(path, organisation_id, kind, start)
        _write(path / "schema.json", schema(kind, contract))
        with closing(FORMATS[kind](path)) as store:
            yield Folder(path, store, start)


def started(path: Path) -> Cursor | None:
    """Return where the folder's copy began; None if it has none yet."""
    note = path / _NOTE
    return read_position(orjson.loads(note.read_bytes())["since"]) if note.exists() else None


def schema(kind: Format, contract: SyncContract) -> object:
    """Return what the copy's columns mean, and the fields in `before` and `after` of each type."""
    return {
        "format": kind,
        "columns": [
            {"name": one.name, "type": one.kind, "nullable": one.nullable, "description": one.description}
            for one in COLUMNS
        ],
        "entities": [
            {
                "name": entity.name,
                "description": entity.description,
                "fields": [dataclasses.asdict(field) for field in entity.fields],
            }
            for entity in contract.entities
        ],
    }


def _take(lock: IO[str], path: Path) -> None:
    """Hold the folder until this process ends, however it ends."""
    if sys.platform != "win32":
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TailFailed(f"Another process writes to {path}.") from None


def _remove_unfinished(path: Path) -> None:
    for part in path.glob("*.part"):
        part.unlink()


def _begun(path: Path, organisation_id: UUID, kind: Format, start: Cursor) -> Cursor:
    """Return where the folder's copy began, and note it in a new folder."""
    note = path / _NOTE
    own = {"organisation": str(organisation_id), "format": str(kind)}
    if not note.exists():
        _write(note, {**own, "since": write_position(start)})
        return start
    noted = orjson.loads(note.read_bytes())
    for name, value in own.items():
        if noted[name] != value:
            raise TailFailed(f"{path} holds a copy with another {name} ({noted[name]}): name another folder.")
    return read_position(noted["since"])


def _write(target: Path, content: object) -> None:
    with aside(target) as temporary:
        temporary.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
        replace(temporary, target)
