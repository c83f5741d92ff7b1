"""Which addresses a webhook may be posted to: none inside our own network, unless a setting allows it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv6Address

# Prefixes of IPv6 whose addresses lead to an IPv4 address inside them: NAT64, 6to4, Teredo.
_WRAPPED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))

# A name whose server does not answer holds a thread for long after its delivery has failed. Threads of their
# own keep others, such as those that connect to the database, from waiting for it.
_resolving = ThreadPoolExecutor(32, "webhook-names")


class NotAllowed(Exception):
    """The address must not be connected to; the message is for the endpoint's owner."""


async def resolve(host: str, port: int, *, private: bool) -> str:
    """Return one address of the host. The caller connects to that very address, so that a name which leads
    elsewhere a moment later changes nothing. Raises NotAllowed if any of its addresses is not public.
    """
    try:
        asking = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(_resolving, asking)
    except (OSError, UnicodeError):
        raise NotAllowed("The host has no address.") from None
    addresses = [str(address[0]).partition("%")[0] for *_, address in found]
    if not private and not all(map(is_public, addresses)):
        raise NotAllowed("The host has an address that is not public.")
    return addresses[0]


def is_public(address: str) -> bool:
    """Return whether this address belongs to the public internet."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return _is_public(ip.ipv4_mapped)
        if ip.is_site_local or any(ip in network for network in _WRAPPED):
            return False
    return _is_public(ip)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
