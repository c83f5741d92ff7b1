"""The client's address is the connection's unless a trusted proxy reports another."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from tournee.logs import CLIENT
from tournee.web.addresses import AddressMiddleware

TRUSTED = ("10.0.0.0/8", "2001:db8:ffff::/48")
PROXY = "10.0.0.7"


async def seen(connected: Any, *headers: tuple[str, str], trusted: tuple[str, ...] = TRUSTED) -> Any:
    found: list[Any] = []

    async def inner(scope: Scope, _receive: Receive, _send: Send) -> None:
        if scope["client"] is not None:
            assert CLIENT.get() == scope["client"][0]
        found.append(scope["client"])

    async def receive() -> Message:
        raise AssertionError

    async def send(_message: Message) -> None:
        raise AssertionError

    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "client": connected, "headers": sent}
    await AddressMiddleware(inner, trusted)(scope, receive, send)
    return found[0] and found[0][0]


FOR, FORWARDED = "x-forwarded-for", "forwarded"


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([], PROXY),
        ([(FOR, "192.0.2.1")], "192.0.2.1"),
        ([(FOR, "198.51.100.9, 192.0.2.1")], "192.0.2.1"),
        ([(FOR, "198.51.100.9"), (FOR, "192.0.2.1,10.1.1.1")], "192.0.2.1"),
        ([(FOR, "192.0.2.1, 10.1.1.1, 10.2.2.2")], "192.0.2.1"),
        ([(FOR, "10.1.1.1, 10.2.2.2")], "10.1.1.1"),
        ([(FOR, "192.0.2.1:4711")], "192.0.2.1"),
        ([(FOR, "[2001:db8::1]:4711")], "2001:db8::1"),
        ([(FOR, "2001:DB8:0::1")], "2001:db8::1"),
        ([(FOR, "::ffff:192.0.2.1")], "192.0.2.1"),
        ([(FOR, "192.0.2.1, unknown")], PROXY),
        ([(FOR, "192.0.2.1, unknown, 10.1.1.1")], "10.1.1.1"),
        ([(FOR, "")], PROXY),
        ([(FOR, "192.0.2.1, " + ", ".join(["10.1.1.1"] * 50_000))], "10.1.1.1"),
        ([(FORWARDED, "for=192.0.2.1")], "192.0.2.1"),
        ([(FORWARDED, 'proto=https;For="[2001:db8::1]:4711";by=10.0.0.7')], "2001:db8::1"),
        ([(FORWARDED, "for=198.51.100.9, for=192.0.2.1;proto=http, for=10.1.1.1")], "192.0.2.1"),
        ([(FORWARDED, "for=192.0.2.1, for=_hidden")], PROXY),
        ([(FORWARDED, "for=192.0.2.1, proto=https")], PROXY),
        ([(FOR, "192.0.2.1"), (FORWARDED, "for=192.0.2.1")], "192.0.2.1"),
        ([(FOR, "192.0.2.1"), (FORWARDED, "for=198.51.100.9")], PROXY),
        ([("x-real-ip", "192.0.2.1")], PROXY),
    ],
)
async def test_the_client_is_the_last_untrusted_address_that_a_trusted_proxy_reports(
    headers: list[tuple[str, str]], address: str
) -> None:
    assert await seen((PROXY, 1234), *headers) == address


async def test_an_untrusted_proxys_header_is_ignored() -> None:
    for stranger in ("192.0.2.9", "127.0.0.1", "2001:db8::9"):
        assert await seen((stranger, 1234), (FOR, "198.51.100.9")) == stranger
    assert await seen((PROXY, 1234), (FOR, "198.51.100.9"), trusted=()) == PROXY
    assert await seen(None, (FOR, "198.51.100.9")) is None
    assert await seen(("::ffff:10.0.0.7", 1234), (FOR, "192.0.2.1")) == "192.0.2.1"
    assert await seen(("2001:db8:ffff::7", 1234), (FOR, "192.0.2.1")) == "192.0.2.1"
