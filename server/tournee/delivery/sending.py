"""Posting one delivery: to a checked address, within ten seconds, and without believing the answer."""

from __future__ import annotations

import asyncio
from typing import Protocol
from urllib.parse import urlsplit

import httpx2

from tournee.delivery.addresses import NotAllowed, resolve
from tournee.delivery.payload import Signed

SECONDS = 10.0
# Read this much of an answer, so that the connection can be used again; longer ones end it.
_MOST_ANSWER = 16_384


class Sends(Protocol):
    """Posts a delivery."""

    async def post(self, url: str, signed: Signed) -> str | None:
        """Return None if the receiver accepted it, else what went wrong."""


class Sender:
    """The HTTP client of all endpoints. It follows no redirects, keeps no cookies and uses no proxy."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._client = httpx2.AsyncClient(
            timeout=SECONDS,
            follow_redirects=False,
            trust_env=False,
            limits=httpx2.Limits(max_connections=200, max_keepalive_connections=50),
        )

    async def post(self, url: str, signed: Signed) -> str | None:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._post(url, signed)
        except NotAllowed as refusal:
            return str(refusal)
        except TimeoutError:
            return f"No answer within {SECONDS:.0f} seconds."
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:200]

    async def _post(self, url: str, signed: Signed) -> str | None:
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        if not secure and not self._private:
            raise NotAllowed("Only https addresses are allowed.")
        port = parts.port or (443 if secure else 80)
        address = await resolve(host, port, private=self._private)
        checked = httpx2.URL(url).copy_with(host=address, port=port)
        headers = {**signed.headers, "host": parts.netloc}
        # The certificate must be that of the name, not of the address.
        options = {"sni_hostname": host} if secure else {}
        self._client.cookies.clear()
        async with self._client.stream(
            "POST", checked, headers=headers, content=signed.body, extensions=options
        ) as answer:
            read = 0
            async for part in answer.aiter_raw():
                read += len(part)
                if read > _MOST_ANSWER:
                    break
            return None if answer.is_success else f"The receiver answered {answer.status_code}."

    async def close(self) -> None:
        await self._client.aclose()
