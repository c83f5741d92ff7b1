"""What the tests of signing in share."""

from collections.abc import Awaitable, Callable

import httpx2

PASSWORD = "a long password"


Form = Callable[..., Awaitable[httpx2.Response]]
