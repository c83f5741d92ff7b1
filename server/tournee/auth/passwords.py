"""Passwords: hashes them with argon2 in threads; a wrong name takes as long as a wrong password.

All accounts of an e-mail, in several organisations, share a salt. So one computation compares a password with
all of them, and a sign-in takes equally long for no account, one and many.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError
from argon2.low_level import hash_secret

from tournee.kernel.errors import Invalid

SHORTEST = 8
LONGEST = 500
# Computations for one sign-in. Only an account whose e-mail was changed needs a second one.
MOST_SALTS = 4

ResultT = TypeVar("ResultT")

_hasher = PasswordHasher()


def _stand_back() -> None:
    """Lower the thread's priority, because signed-in clients come first, and a hash takes a quarter of a
    second of a core on purpose.
    """
    with contextlib.suppress(AttributeError, OSError):
        # On Linux, each thread has its own priority.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


# A pool of its own: many sign-ins at once would block the shared threads for seconds.
AT_ONCE = 2
_NICE = 10
_threads = ThreadPoolExecutor(AT_ONCE, "password", _stand_back)


async def _aside(work: Callable[..., ResultT], *arguments: object) -> ResultT:
    return await asyncio.get_running_loop().run_in_executor(_threads, work, *arguments)


@cache
def _nobodys_hash() -> str:
    """Return a hash to compare with when there is no account, so that the answer takes equally long."""
    return _hasher.hash("nobody's password")


async def hash_password(password: str, salt: bytes | None = None) -> str:
    """Return the argon2 hash, computed in a thread because it is slow on purpose."""
    return await _aside(partial(_hasher.hash, password, salt=salt))


async def new_password(password: str, field: str, salt: bytes | None = None) -> str:
    """Return the hash of a new password; raises Invalid if it is too short."""
    if len(password) < SHORTEST:
        raise Invalid(f"A password must have at least {SHORTEST} characters.", field)
    return await hash_password(password, salt)


async def is_password(password: str, password_hash: str | None) -> bool:
    """Return whether the password matches; without a hash, False after the same time."""
    return (await which_fit(password, [password_hash]))[0]


async def which_fit(password: str, hashes: Sequence[str | None]) -> list[bool]:
    """Return for each hash whether the password matches; for none, an empty list after the same time."""
    return await _aside(_fitting, password[:LONGEST], hashes)


def _fitting(password: str, hashes: Sequence[str | None]) -> list[bool]:
    """Compare all hashes with the same parameters and salt in one computation."""
    alike = {_beginning(one): one for one in hashes if one is not None}
    examples = list(alike.items())[:MOST_SALTS] or [("", _nobodys_hash())]
    made = {beginning: _hash_like(example, password) for beginning, example in examples}
    return [
        one is not None and hmac.compare_digest(made.get(_beginning(one), "").encode(), one.encode())
        for one in hashes
    ]


def _beginning(password_hash: str) -> str:
    """Return a hash's parameters and salt."""
    return password_hash.rpartition("$")[0]


def salt_of(password_hash: str) -> bytes:
    salt = password_hash.split("$")[-2]
    return base64.b64decode(salt + "=" * (-len(salt) % 4))


def _hash_like(example: str, password: str) -> str:
    """Hash with the parameters and salt of another hash; None if that is not a hash."""
    try:
        known = extract_parameters(example)
    except InvalidHashError:
        return ""
    return hash_secret(
        password.encode(),
        salt_of(example),
        time_cost=known.time_cost,
        memory_cost=known.memory_cost,
        parallelism=known.parallelism,
        hash_len=known.hash_len,
        type=known.type,
        version=known.version,
    ).decode()
