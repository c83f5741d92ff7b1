"""Code that the sign-in tests share."""

from collections.abc import Awaitable, Callable

import httpx2

PASSWORD = "a long password"


Form = Callable[..., Awaitable[httpx2.Response]]
