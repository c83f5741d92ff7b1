"""Access tokens: which are accepted and which are refused."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette

from tests.support.house import House
from tests.support.signing_in import Form
from tests.support.tokens import forge, raw
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now


@pytest.fixture
async def actor(house: House) -> Actor:
    return await house.account("DISPATCHER")


async def test_a_well_formed_token_is_accepted(app: Starlette, actor: Actor, whoami: Form) -> None:
    assert (await whoami(forge(app, actor))).json()["id"] == str(actor.id)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"exp": 1_000_000_000}, "TOKEN_EXPIRED"),
        ({"aud": "another"}, "TOKEN_INVALID"),
        ({"aud": ["tournee"]}, "TOKEN_INVALID"),
        ({"iss": "another"}, "TOKEN_INVALID"),
        ({"typ": "JWT"}, "TOKEN_INVALID"),
        ({"kid": "another"}, "TOKEN_INVALID"),
        ({"kid": 7}, "TOKEN_INVALID"),
        ({"exp": None}, "TOKEN_INVALID"),
        ({"exp": 10**30}, "TOKEN_INVALID"),
        ({"aud": None}, "TOKEN_INVALID"),
        ({"iss": None}, "TOKEN_INVALID"),
        ({"sub": None}, "TOKEN_INVALID"),
        ({"iat": None}, "TOKEN_INVALID"),
        ({"sub": "nobody"}, "TOKEN_INVALID"),
        ({"org": None}, "TOKEN_INVALID"),
        ({"role": "OWNER"}, "TOKEN_INVALID"),
        ({"device": "tablet"}, "TOKEN_INVALID"),
        ({"key": Ed25519PrivateKey.generate()}, "TOKEN_INVALID"),
        ({"role": "MANAGER"}, "TOKEN_EXPIRED"),
        ({"org": "00000000-0000-0000-0000-000000000000"}, "UNAUTHENTICATED"),
    ],
    ids=lambda value: "key" if "key" in value else str(value),  # the same in each process
)
async def test_a_token_with_any_wrong_part_is_refused(
    app: Starlette, actor: Actor, whoami: Form, changed: dict[str, Any], code: str
) -> None:
    try:
        answer = await whoami(forge(app, actor, **changed))
    except jwt.InvalidTokenError:
        answer = await whoami(_with_odd_header(app, actor, changed))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token"')


def _with_odd_header(app: Starlette, actor: Actor, header: dict[str, Any]) -> str:
    return raw({"alg": "EdDSA", "typ": "at+jwt", **header}, {"sub": str(actor.id)}, b"signature")


async def test_tokens_with_other_algorithms_are_refused(app: Starlette, actor: Actor, whoami: Form) -> None:
    own = app.state.tokens.ring.keys()[0]
    claims = jwt.decode(forge(app, actor), options={"verify_signature": False})
    header = {"typ": "at+jwt", "kid": own.id}
    public = own.published()["x"]
    for token in (
        raw(header | {"alg": "none"}, claims),
        raw(header | {"alg": "None"}, claims),
        raw(header, claims),
        jwt.encode(claims, public, "HS256", headers=header),
        jwt.encode(claims, base64.urlsafe_b64decode(public + "="), "HS256", headers=header),
    ):
        answer = await whoami(token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "TOKEN_INVALID")


@pytest.mark.parametrize(
    "garbage",
    [
        b"x", b"...", b"a.b.c", b"\xff\xfe", "é".encode(), b"." * 3000, b"A" * 100_000, b"e30.e30.e30",
        b"bnVsbA.bnVsbA.bnVsbA", b"W10.W10.W10", b"MQ.MQ.MQ", b'"', b"{}", b"eyJ.eyJ.eyJ", b"a b",
        base64.urlsafe_b64encode(b"[" * 2500) + b".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":{}}').rstrip(b"=") + b".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":"\\ud800"}').rstrip(b"=") + b".e30.e30",
    ],
)  # fmt: skip
async def test_a_garbage_token_is_refused(whoami: Form, garbage: bytes) -> None:
    answer = await whoami(garbage)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "TOKEN_INVALID")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "\t", "Token abc"])
async def test_another_scheme_is_refused(client: httpx2.AsyncClient, header: str) -> None:
    answer = await client.get("/anything", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")


async def test_a_refusal_names_the_bearer_scheme(whoami: Form) -> None:
    answer = await whoami()
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_cached_token_still_expires(
    app: Starlette, actor: Actor, whoami: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = forge(app, actor)
    assert (await whoami(token)).status_code == 200
    monkeypatch.setattr("tournee.auth.authenticate.now", lambda: now() + timedelta(minutes=6))
    monkeypatch.setattr(app.state.tokens, "verify", lambda _token: pytest.fail("asked again"))
    with pytest.raises(pytest.fail.Exception):
        await app.state.authenticator.authenticate(token)


async def test_the_published_keys_verify_a_token(
    client: httpx2.AsyncClient, app: Starlette, actor: Actor
) -> None:
    answer = await client.get("/.well-known/jwks.json", headers={"Authorization": "Bearer stale"})
    assert answer.status_code == 200
    assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_list("Content-Security-Policy") == [
        "default-src 'none'; frame-ancestors 'none'"
    ]
    keys = jwt.PyJWKSet.from_dict(answer.json())
    token = app.state.tokens.issue(actor)
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="tournee", issuer="tournee")
    assert claims["sub"] == str(actor.id)
    assert all("d" not in published for published in answer.json()["keys"])
