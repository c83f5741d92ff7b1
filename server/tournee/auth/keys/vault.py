"""Encrypts the server's keys by TOURNEE_SECRET_KEY, so that the database alone does not reveal them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


class UnusableSecret(RuntimeError):
    """TOURNEE_SECRET_KEY does not decrypt the keys in the database; the message says so in one line."""


class Vault:
    """Seals secrets by the first of these secret keys, and opens what any of them sealed.

    Without a secret key it seals nothing.
    """

    def __init__(self, secret_keys: Sequence[str] = ()) -> None:
        self._ciphers = {_fingerprint(one): AESGCM(_derived(one, "encryption", 32)) for one in secret_keys}
        self.sealed_by = next(iter(self._ciphers), None)

    def seal(self, secret: bytes, name: str) -> bytes:
        """Return the secret encrypted; the name must be given again to open it."""
        if self.sealed_by is None:
            return secret
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[self.sealed_by].encrypt(nonce, secret, name.encode())

    def open(self, sealed: bytes, sealed_by: str | None, name: str) -> bytes:
        """Return the secret; raises UnusableSecret if none of the secret keys opens it."""
        if sealed_by is None:
            return sealed
        if not self._ciphers:
            raise UnusableSecret(
                "TOURNEE_SECRET_KEY: the keys in the database are encrypted: set the secret key that "
                "encrypted them."
            )
        cipher = self._ciphers.get(sealed_by)
        if cipher is None:
            raise UnusableSecret(
                "TOURNEE_SECRET_KEY: this did not encrypt the keys in the database: set the secret key that "
                "did, or add it after the new one."
            )
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except InvalidTag:
            raise UnusableSecret(f"The key {name} in the database is damaged.") from None


def _fingerprint(secret_key: str) -> str:
    return _derived(secret_key, "fingerprint", 8).hex()


def _derived(secret_key: str, purpose: str, length: int) -> bytes:
    return HKDF(SHA256(), length, None, f"tournee server keys: {purpose}".encode()).derive(
        secret_key.encode()
    )
