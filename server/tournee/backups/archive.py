"""The file of a backup: a manifest and the database."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Literal
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from tournee import __version__
from tournee.kernel.entity import Organisation, now

_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 1_000_000

_NOT_OURS = {
    b"PGDMP": "was made by pg_dump: restore it with pg_restore, then run `tournee restored`",
    b"SQLite format 3\x00": (
        "is a SQLite database: copy it to where DATABASE_URL says, then run `tournee restored`"
    ),
}


class BackupFailed(Exception):
    """Nothing was saved or restored; the message says why in one line."""


class Kind(StrEnum):
    """The kind of database in a backup."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    # One organisation alone, for either kind.
    ORGANISATION = "organisation"

    def __str__(self) -> str:
        return {Kind.SQLITE: "SQLite", Kind.POSTGRESQL: "PostgreSQL"}.get(self, "one organisation")

    @property
    def member(self) -> str:
        return {Kind.SQLITE: "tournee.db", Kind.POSTGRESQL: "tournee.dump"}.get(self, "organisation.jsonl")

    @property
    def compression(self) -> int:
        """Return the compression of the database member; pg_dump compresses its own output."""
        return ZIP_STORED if self is Kind.POSTGRESQL else ZIP_DEFLATED


class OneOrganisation(BaseModel):
    """The organisation in a file that has no other, and the number of its log at which it was saved."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    name: str
    seq: int

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class Manifest(BaseModel):
    """The content of a backup."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    kind: Kind
    server: str = __version__
    revision: str
    # For PostgreSQL: the schema that holds the tables, and the version of pg_dump that saved them.
    namespace: str = ""
    pg_dump: int = 0
    saved_at: AwareDatetime = Field(default_factory=now)
    tables: dict[str, int]
    organisation: OneOrganisation | None = None

    @property
    def organisations(self) -> int:
        return self.tables.get(Organisation.__tablename__, 0)

    def __str__(self) -> str:
        return (
            f"{self.organisations:,} organisations, {sum(self.tables.values()):,} rows "
            f"in {len(self.tables)} tables"
        )

    def compare(self, found: Mapping[str, int]) -> None:
        """Raise unless the row counts found are those that were saved."""
        for table in sorted(self.tables.keys() | found.keys()):
            saved, there = self.tables.get(table), found.get(table)
            if saved != there:
                raise BackupFailed(
                    f"The rows of {table} do not match: {saved} were expected, {there} were found."
                )


@dataclass(frozen=True)
class Archive:
    """A backup file that is open for reading."""

    file: Path
    manifest: Manifest

    @contextmanager
    def database(self) -> Iterator[IO[bytes]]:
        """Yield the database as a stream; reading it to the end checks every byte."""
        name = self.manifest.kind.member
        with _intact(self.file), ZipFile(self.file) as archive, archive.open(name) as member:
            yield member


@contextmanager
def writing(file: Path, manifest: Manifest) -> Iterator[IO[bytes]]:
    """Yield a stream to write the database into."""
    with ZipFile(file, "w", manifest.kind.compression, compresslevel=1) as archive:
        archive.writestr(_MANIFEST, manifest.model_dump_json(indent=2))
        with archive.open(manifest.kind.member, "w", force_zip64=True) as member:
            yield member


def read(file: Path) -> Archive:
    """Return the backup in this file; raises BackupFailed, saying what the file is instead."""
    if not file.exists():
        raise BackupFailed(f"{file} does not exist.")
    if not file.is_file():
        raise BackupFailed(f"{file} is a {'folder' if file.is_dir() else 'device'}, not a file.")
    with file.open("rb") as opened:
        start = opened.read(16)
    if not start:
        raise BackupFailed(f"{file} is empty.")
    for magic, what in _NOT_OURS.items():
        if start.startswith(magic):
            raise BackupFailed(f"{file} {what}.")
    if not start.startswith(b"PK\x03\x04"):
        raise BackupFailed(f"{file} is not a backup made by `tournee backup`.")
    return Archive(file, _manifest(file))


def _manifest(file: Path) -> Manifest:
    with _intact(file), ZipFile(file) as archive:
        names = archive.namelist()
        encrypted = any(member.flag_bits & 1 for member in archive.infolist())
        if encrypted or _MANIFEST not in names or archive.getinfo(_MANIFEST).file_size > _LARGEST_MANIFEST:
            raise BackupFailed(f"{file} is not a backup made by `tournee backup`.")
        text = archive.read(_MANIFEST)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError:
        raise BackupFailed(f"{file} was made by another version of `tournee backup`.") from None
    if manifest.kind.member not in names:
        raise BackupFailed(f"{file} is damaged: it lacks {manifest.kind.member}.")
    return manifest


@contextmanager
def _intact(file: Path) -> Iterator[None]:
    try:
        yield
    except (BadZipFile, EOFError, zlib.error, NotImplementedError) as problem:
        raise BackupFailed(f"{file} is damaged or incomplete: {problem}") from problem
