"""Reads the file in which older versions kept the server's keys."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from pathlib import Path

import orjson

_NAME = "keys.json"


@dataclass(frozen=True)
class FileKey:
    """A signing key in the file: the name by which tokens refer to it, and its 32 bytes."""

    id: str
    secret: bytes


@dataclass(frozen=True)
class KeyFile:
    """The content of the file: signing keys, newest first, and the key of cursors."""

    file: Path
    signing: tuple[FileKey, ...]
    cursors: bytes


def read(directory: Path) -> KeyFile | None:
    """Return the keys in this folder, or None if it has no such file."""
    file = directory / _NAME
    try:
        content = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    signing = tuple(FileKey(key["kid"], _decode(key["d"])) for key in content["keys"])
    return KeyFile(file, signing, hmac.digest(_decode(content["secret"]), b"cursor", "sha256"))


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
