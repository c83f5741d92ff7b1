"""`save` and `restore`: a database to a file, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

import tournee.catalogue  # noqa: F401 - brings in every table
from tournee import migrations
from tournee.backups import archive, files, postgresql, sqlite
from tournee.backups.archive import Archive, BackupFailed, Kind, Manifest


@dataclass(frozen=True)
class Restored:
    """The result of a restore: the backup's manifest, and how many organisations got a new epoch."""

    manifest: Manifest
    organisations: int


def save(url: str, target: Path) -> Manifest:
    """Write a backup of the database to a new file, which appears only after it was read and checked."""
    files.require_new(target)
    with files.aside(target) as part:
        on_sqlite = _kind(url) is Kind.SQLITE
        manifest = sqlite.save(_file(url), part) if on_sqlite else postgresql.save(url, part)
        _check(archive.read(part))
        files.appear(part, target)
    return manifest


def _check(saved: Archive) -> None:
    (sqlite if saved.manifest.kind is Kind.SQLITE else postgresql).check(saved)


def restore(url: str, file: Path, replaces: bool = False) -> Restored:
    """Restore the backup, migrate it to the newest schema, and begin a new epoch."""
    saved = archive.read(file)
    manifest = saved.manifest
    if manifest.organisation is not None:
        raise BackupFailed(f"{file} has one organisation: use `tournee import-organisation`.")
    if manifest.kind is not _kind(url):
        raise BackupFailed(f"{file} is a backup of {manifest.kind}, but DATABASE_URL names {_kind(url)}.")
    if not migrations.is_known(manifest.revision):
        raise BackupFailed(
            f"{file} was made by a newer server, {manifest.server}: restore it with that version."
        )
    if manifest.kind is Kind.SQLITE:
        organisations = sqlite.restore(saved, _file(url), replaces)
    else:
        organisations = postgresql.restore(saved, url, replaces)
    return Restored(manifest, organisations)


def _kind(url: str) -> Kind:
    return Kind(make_url(url).get_backend_name())


def _file(url: str) -> Path:
    return Path(make_url(url).database or "")
