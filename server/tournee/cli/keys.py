"""`tournee rotate-keys`: the keys that sign access tokens."""

from __future__ import annotations

from tournee.cli import shared


def rotate_keys() -> None:
    """Sign access tokens with a new key from now on; tokens signed earlier stay valid."""
    from tournee.auth.keys import KeyRing  # noqa: PLC0415

    keys = KeyRing(shared.settings().directory)
    if not keys.file.is_file():
        shared.fail(f"TOURNEE_DIRECTORY: there are no keys at {keys.file}: `tournee run` makes the first.", 2)
    keys.rotate()
