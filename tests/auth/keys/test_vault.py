"""Keys are encrypted by TOURNEE_SECRET_KEY, and a wrong secret key is reported in one line."""

from __future__ import annotations

import pytest

from tournee.auth.keys.vault import UnusableSecret, Vault

OLD, NEW = "o" * 32, "n" * 32


def test_a_sealed_secret_is_opened_only_by_its_own_secret_key_and_name() -> None:
    vault = Vault([OLD])
    sealed = vault.seal(b"secret", "a")
    assert b"secret" not in sealed
    assert sealed != vault.seal(b"secret", "a")
    assert vault.open(sealed, vault.sealed_by, "a") == b"secret"
    for other, name, said in ((Vault([NEW]), "a", "this did not"), (Vault(), "a", "are encrypted")):
        with pytest.raises(UnusableSecret, match=f"^TOURNEE_SECRET_KEY: .*{said}"):
            other.open(sealed, vault.sealed_by, name)
    for damaged, name in ((sealed, "b"), (sealed[:-1] + bytes([sealed[-1] ^ 1]), "a"), (b"", "a")):
        with pytest.raises((UnusableSecret, ValueError)):
            vault.open(damaged, vault.sealed_by, name)


def test_the_first_secret_key_seals_and_all_of_them_open() -> None:
    both = Vault([NEW, OLD])
    old = Vault([OLD])
    assert both.open(old.seal(b"secret", "a"), old.sealed_by, "a") == b"secret"
    assert both.sealed_by == Vault([NEW]).sealed_by != old.sealed_by


def test_without_a_secret_key_nothing_is_encrypted() -> None:
    assert Vault().seal(b"secret", "a") == b"secret"
    assert Vault().sealed_by is None
    assert Vault([NEW]).open(b"secret", None, "a") == b"secret"
