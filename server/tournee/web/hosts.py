"""Hosts: the names under which the server answers, and the clients that a demo answers.

A malicious page can point its own host name at this machine and read the answers of a server here (DNS
rebinding), because the browser takes that server for the page's own. The name in `Host` reveals this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from starlette.types import ASGIApp, Receive, Scope, Send

from tournee.answers import answer_instead, coded
from tournee.settings import Settings, is_loopback

# Load balancers probe by address, or with no name at all; these answers are public anyway. Metrics are read
# by address too, and have a guard of their own.
_UNDER_ANY_NAME = frozenset({"/healthz", "/readyz", "/metrics"})

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+?)\.?(:[0-9]*)?")
_BY_PROXIES = frozenset({b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip"})
_FORWARDED = re.compile(r"(?:for|host)=\"?([^\";,\s]*)")


class HostMiddleware:
    """Refuses requests meant for another server, including WebSockets."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._is_meant: Callable[[Scope], bool] = _every
        self._message = "This server does not go by the name in `Host`."
        if settings.is_demo:
            self._is_meant = is_of_this_machine
            self._message = (
                "This is a demo, which answers only the machine that it runs on: call it there, as "
                "`localhost`. Set TOURNEE_DEMO=0 to serve other machines."
            )
        elif settings.hosts:
            self._is_meant = _Names(settings.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] not in ("http", "websocket")
            or scope["path"] in _UNDER_ANY_NAME
            or self._is_meant(scope)
        ):
            await self.app(scope, receive, send)
            return
        await answer_instead(coded(421, "WRONG_HOST", self._message), scope, receive, send, close=1008)


def _every(_scope: Scope) -> bool:
    return True


class _Names:
    """The configured names; `*.` stands for every subdomain."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._whole = frozenset(host for host in hosts if not host.startswith("*."))
        self._below = tuple(host[1:] for host in hosts if host.startswith("*."))

    def __call__(self, scope: Scope) -> bool:
        host = _named(scope)
        return host in self._whole or host.endswith(self._below)


def is_of_this_machine(scope: Scope) -> bool:
    """Return whether the request is local: its host, its client, and every client that proxies recorded."""
    caller = scope.get("client")
    return (
        is_loopback(_named(scope))
        and (caller is None or is_loopback(caller[0]))
        and all(is_loopback(who) or is_loopback(_without_port(who)) for who in _spoken_for(scope))
    )


def _spoken_for(scope: Scope) -> Iterator[str]:
    """Return the names and addresses that proxies recorded."""
    for name, value in scope["headers"]:
        if name in _BY_PROXIES:
            yield from (part.strip() for part in value.decode("latin-1").lower().split(","))
        elif name == b"forwarded":
            yield from _FORWARDED.findall(value.decode("latin-1").lower())


def _named(scope: Scope) -> str:
    """Return the host that the request names, without its port; empty if it names none or two."""
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    return _without_port(hosts[0].decode("latin-1").lower()) if len(hosts) == 1 else ""


def _without_port(host: str) -> str:
    found = _HOST.fullmatch(host)
    return found[1] if found else ""
