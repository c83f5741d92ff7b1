"""Tokens as an attacker would forge them."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import jwt
import orjson
from starlette.applications import Starlette

from tournee.kernel.actor import Actor
from tournee.kernel.entity import now


def forge(app: Starlette, actor: Actor, *, key: Any = None, alg: str = "EdDSA", **changed: Any) -> str:
    """Return a token like the server's with changes; None omits a claim, `typ` and `kid` are headers."""
    own = app.state.tokens.ring.keys()[0]
    claims: dict[str, Any] = {
        "iss": "tournee", "aud": "tournee", "sub": str(actor.id), "org": str(actor.organisation_id),
        "role": actor.role, "iat": now(), "exp": now() + timedelta(minutes=5), "jti": "1",
    }  # fmt: skip
    headers = {"typ": changed.pop("typ", "at+jwt"), "kid": changed.pop("kid", own.id)}
    claims = {name: value for name, value in (claims | changed).items() if value is not None}
    return jwt.encode(claims, own.private if key is None else key, alg, headers=headers)


def raw(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = (orjson.dumps(header), orjson.dumps(claims), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
