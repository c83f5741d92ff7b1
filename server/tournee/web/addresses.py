"""The client's address: that of the connection, or the one that a trusted proxy reports.

It is set in `scope["client"]` before anything else runs: sign-in limits, log lines and refusals all read it
there. uvicorn's own reading of these headers is off, because it trusts every client on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from tournee.logs import CLIENT

_Address = IPv4Address | IPv6Address

# Proxies in a row. In a longer list, the last hop that was read counts as the client.
_MOST_HOPS = 20

# `for=192.0.2.43`, `For="[2001:db8::17]:4711"` (RFC 7239).
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*"?([^";]*)"?', re.IGNORECASE)
_PORT = re.compile(r"\[(.*)\](?::\d+)?|([^:]*):\d+")


class AddressMiddleware:
    """Puts the client's address into `scope["client"]` and into each line logged for the request."""

    def __init__(self, app: ASGIApp, trusted: Iterable[str] = ()) -> None:
        self.app = app
        self._trusted = [ip_network(one, strict=False) for one in trusted]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # There is no client address where the server listens on a Unix socket.
        if scope["type"] in ("http", "websocket") and scope.get("client") is not None:
            address, port = scope["client"]
            found = self._address(address, scope["headers"])
            CLIENT.set(found)
            scope["client"] = (found, port if found == address else 0)
        await self.app(scope, receive, send)

    def _address(self, connected: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Return the last address that does not belong to a trusted proxy.

        A client can send either header itself, and a proxy passes on the one that it does not write. So if
        both are present and disagree, believe neither.
        """
        peer = _parsed(connected)
        if peer is None:
            return connected
        if not self._trusts(peer):
            return str(peer)
        found = {str(self._behind(peer, hops)) for hops in _reported(headers)}
        return found.pop() if len(found) == 1 else str(peer)

    def _behind(self, peer: _Address, hops: Sequence[str]) -> _Address:
        for hop in list(reversed(hops))[:_MOST_HOPS]:
            address = _parsed(_without_port(hop))
            if address is None:
                # The proxy did not report an address, and anybody may have written the earlier entries.
                return peer
            peer = address
            if not self._trusts(peer):
                break
        return peer

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _reported(headers: Iterable[tuple[bytes, bytes]]) -> list[list[str]]:
    """Return the hops, client first, of each of the two headers that is present."""
    sent: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in (b"x-forwarded-for", b"forwarded"):
            sent.setdefault(name, []).extend(value.decode("latin-1").split(","))
    if b"forwarded" in sent:
        elements = [_FOR.search(element) for element in sent[b"forwarded"]]
        sent[b"forwarded"] = [found[1] if found else "" for found in elements]
    return list(sent.values())


def _without_port(hop: str) -> str:
    hop = hop.strip()
    found = _PORT.fullmatch(hop)
    return next(part for part in found.groups() if part is not None) if found else hop


def _parsed(text: str) -> _Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
