"""Passwords: argon2, off the event loop, and a wrong name as slow as a wrong password."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tournee.kernel.errors import Invalid

SHORTEST = 8
LONGEST = 500

ResultT = TypeVar("ResultT")

_hasher = PasswordHasher()


def _stand_back() -> None:
    """Whoever is signed in goes first: a hash takes a quarter of a second of a core, on purpose."""
    with contextlib.suppress(AttributeError, OSError):
        # A thread has a priority of its own on Linux.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


# Threads of their own: those everybody shares would be taken for seconds where many sign in at once.
AT_ONCE = 2
_NICE = 10
_threads = ThreadPoolExecutor(AT_ONCE, "password", _stand_back)


async def _aside(work: Callable[..., ResultT], *arguments: object) -> ResultT:
    return await asyncio.get_running_loop().run_in_executor(_threads, work, *arguments)


@cache
def _nobodys_hash() -> str:
    """What a password is compared with when there is no account, so that this takes as long."""
    return _hasher.hash("nobody's password")


async def hash_password(password: str) -> str:
    """The argon2 hash; takes its time on purpose, in a thread."""
    return await _aside(_hasher.hash, password)


async def new_password(password: str, field: str) -> str:
    """The hash of a password somebody chose; a short one is refused."""
    if len(password) < SHORTEST:
        raise Invalid(f"A password has at least {SHORTEST} characters.", field)
    return await hash_password(password)


async def is_password(password: str, password_hash: str | None) -> bool:
    """Whether it is the password; with no hash to compare, False after the same time."""
    return await _aside(_verify, password[:LONGEST], password_hash)


def _verify(password: str, password_hash: str | None) -> bool:
    try:
        _hasher.verify(password_hash or _nobodys_hash(), password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None
