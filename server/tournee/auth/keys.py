"""The server's keys: one file, readable only by the server's user.

The newest key signs access tokens. Older keys stay published until the tokens they signed have expired. The
file also holds a secret for data that only the server reads back, such as cursors; rotation does not change
it. All processes and servers of one database must read the same file.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

# Keys left after a rotation: the new one, and older ones whose tokens may still be valid.
_KEPT = 3


@dataclass(frozen=True)
class Key:
    """One key pair, and the name by which tokens refer to it."""

    id: str
    private: Ed25519PrivateKey

    @property
    def public(self) -> Ed25519PublicKey:
        return self.private.public_key()

    def published(self) -> dict[str, str]:
        """Return the public half as a JSON Web Key (RFC 8037)."""
        x = self.public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {
            "kty": "OKP", "crv": "Ed25519", "x": _encode(x), "kid": self.id, "use": "sig", "alg": "EdDSA",
        }  # fmt: skip

    def raw(self) -> bytes:
        return self.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


@dataclass(frozen=True)
class _Content:
    """The content of the file."""

    secret: bytes
    keys: tuple[Key, ...]

    def dump(self) -> bytes:
        keys = [{"kid": key.id, "d": _encode(key.raw())} for key in self.keys]
        return orjson.dumps({"secret": _encode(self.secret), "keys": keys})

    @classmethod
    def load(cls, text: bytes) -> _Content:
        content = orjson.loads(text)
        return cls(
            _decode(content["secret"]),
            tuple(
                Key(key["kid"], Ed25519PrivateKey.from_private_bytes(_decode(key["d"])))
                for key in content["keys"]
            ),
        )


class KeyRing:
    """The keys in the file, newest first. The file is read again after it was replaced."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "keys.json"
        self._stamp: tuple[int, int] | None = None
        self._content = _Content(b"", ())

    def keys(self) -> tuple[Key, ...]:
        """Return all keys, the signing one first."""
        return self._read().keys

    def secret(self, purpose: str) -> bytes:
        """Return a secret for one purpose; it never changes."""
        return hmac.digest(self._read().secret, purpose.encode(), "sha256")

    def named(self, id: str) -> Key | None:
        return next((key for key in self.keys() if key.id == id), None)

    def rotate(self) -> None:
        """Add a key, which signs from now on, and drop the oldest."""
        content = self._read()
        self._write(_Content(content.secret, (_new_key(), *content.keys)[:_KEPT]), replace=True)

    def published(self) -> dict[str, Any]:
        return {"keys": [key.published() for key in self.keys()]}

    def _read(self) -> _Content:
        """Return the content of the file; the very first call creates it."""
        try:
            status = self.file.stat()
        except FileNotFoundError:
            self._write(_Content(secrets.token_bytes(32), (_new_key(),)), replace=False)
            status = self.file.stat()
        stamp = (status.st_ino, status.st_mtime_ns)
        if stamp != self._stamp:
            self._content = _Content.load(self.file.read_bytes())
            self._stamp = stamp
        return self._content

    def _write(self, content: _Content, *, replace: bool) -> None:
        """Write the file in one step. If processes start together, the first one's keys stay."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes it 0600 from the start.
        handle, name = tempfile.mkstemp(dir=self.file.parent, prefix=".keys-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.dump())
                file.flush()
                os.fsync(file.fileno())
            if replace:
                temporary.replace(self.file)
            else:
                with contextlib.suppress(FileExistsError):
                    self.file.hardlink_to(temporary)
        finally:
            temporary.unlink(missing_ok=True)


def _new_key() -> Key:
    return Key(uuid4().hex[:16], Ed25519PrivateKey.generate())


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
