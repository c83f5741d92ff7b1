"""Posting one delivery: to a checked address, within ten seconds, reading little of the answer.

The connection pool is that of httpcore, which follows no redirects, keeps no cookies and uses no proxy.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpcore2

from tournee.delivery.addresses import NotAllowed, resolve
from tournee.delivery.payload import Signed

SECONDS = 10.0
# Read this much of an answer, so that the connection can be used again; a longer one ends it.
_MOST_ANSWER = 16_384
# As many as all endpoints of a process may use at once, so that none waits for the connections of others.
_MOST_CONNECTIONS = 1_000

_FAILURES = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError, ValueError)


class Sends(Protocol):
    """Posts a delivery."""

    async def post(self, url: str, signed: Signed) -> str | None:
        """Return None if the receiver accepted it, else what went wrong."""


class _Checked(httpcore2.AsyncNetworkBackend):
    """Connects to the very address that was checked. The pool and TLS know only the name: connections to
    different names are never shared, and a certificate must be that of the name.
    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._connects = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface of httpcore
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        address = await resolve(host, port, private=self._private)
        return await self._connects.connect_tcp(address, port, timeout, local_address, socket_options)


class Sender:
    """The connections to all endpoints."""

    def __init__(self, *, private: bool, trusted: ssl.SSLContext | None = None) -> None:
        self._private = private
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trusted or ssl.create_default_context(),
            max_connections=_MOST_CONNECTIONS,
            max_keepalive_connections=50,
            keepalive_expiry=60.0,
            network_backend=_Checked(private=private),
        )

    async def post(self, url: str, signed: Signed) -> str | None:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._post(url, signed)
        except NotAllowed as refusal:
            return str(refusal)
        except TimeoutError:
            return f"No answer within {SECONDS:.0f} seconds."
        except _FAILURES as error:
            return f"{type(error).__name__}: {error}"[:200]

    async def _post(self, url: str, signed: Signed) -> str | None:
        if urlsplit(url).scheme != "https" and not self._private:
            raise NotAllowed("Only https addresses are allowed.")
        headers = [*signed.headers.items(), ("content-length", str(len(signed.body)))]
        async with self._pool.stream("POST", url, headers=headers, content=signed.body) as answer:
            read = 0
            async for part in answer.aiter_stream():
                read += len(part)
                if read > _MOST_ANSWER:
                    break
            return None if 200 <= answer.status < 300 else f"The receiver answered {answer.status}."

    async def close(self) -> None:
        await self._pool.aclose()
