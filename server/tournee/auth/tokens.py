"""Access tokens: short-lived JWTs (RFC 9068) that name the account, its role and its device."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt

from tournee.auth.keys.ring import KeyRing
from tournee.auth.organisations import actor_of
from tournee.auth.roles import Role
from tournee.kernel.actor import Actor
from tournee.kernel.demo import ORGANISATIONS
from tournee.kernel.entity import now
from tournee.settings import Settings

TYPE = "at+jwt"
ALGORITHM = "EdDSA"
_LONGEST = 4096
_REQUIRED = ["exp", "iat", "aud", "iss", "sub"]


# PyJWT does not wrap all parsing errors of hostile input.
_MALFORMED = (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError)


class TokenRefused(Exception):
    """A token is refused; the code tells a client whether renewing may help."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        self.code = code
        self.message = message
        self.details = details
        super().__init__(message)


@dataclass(frozen=True)
class Verified:
    """The actor of a valid token, and when it expires, in seconds since 1970."""

    actor: Actor
    expires_at: float


class Tokens:
    """Issues access tokens and verifies them."""

    def __init__(self, settings: Settings, ring: KeyRing) -> None:
        self.settings = settings
        self.ring = ring

    def admits(self, organisation_id: UUID) -> bool:
        """Return whether accounts of the organisation may sign in: those of the demo only at a demo."""
        return self.settings.is_demo or organisation_id not in ORGANISATIONS

    def issue(self, actor: Actor) -> str:
        at = now()
        key = self.ring.keys()[0]
        claims: dict[str, Any] = {
            "iss": self.settings.issuer,
            "aud": self.settings.audience,
            "sub": str(actor.id),
            "iat": at,
            "exp": at + timedelta(seconds=self.settings.access_token_seconds),
            "jti": uuid4().hex,
            "org": str(actor.organisation_id),
            "role": actor.role,
        }
        if actor.device_id is not None:
            claims["device"] = str(actor.device_id)
        if actor.session_id is not None:
            claims["sid"] = str(actor.session_id)
        return jwt.encode(claims, key.private, ALGORITHM, headers={"kid": key.id, "typ": TYPE})

    async def learn_key(self, token: str) -> None:
        """Look for the key that the token names, if another server may have made it lately."""
        await self.ring.ready()
        try:
            key_id = _key_id(token)
        except _MALFORMED:
            return
        await self.ring.learn(key_id)

    def verify(self, token: str) -> Verified:
        """Return the token's actor; raises TokenRefused if the token is not ours or has expired."""
        try:
            return self._verify(token)
        except jwt.ExpiredSignatureError:
            raise TokenRefused("TOKEN_EXPIRED", "This access token has expired; renew it.") from None
        except _MALFORMED:
            raise TokenRefused("TOKEN_INVALID", "This is not an access token of this server.") from None

    def _verify(self, token: str) -> Verified:
        key = self.ring.named(_key_id(token))
        if key is None:
            raise ValueError("not an access token of ours")
        claims = jwt.decode(
            token,
            key.public,
            algorithms=[ALGORITHM],
            audience=self.settings.audience,
            issuer=self.settings.issuer,
            options={"require": _REQUIRED, "strict_aud": True},
        )
        actor = actor_of(
            UUID(claims["org"]),
            UUID(claims["sub"]),
            Role(claims["role"]),
            _optional(claims.get("device")),
            _optional(claims.get("sid")),
        )
        if not self.admits(actor.organisation_id):
            raise ValueError("of the demo")
        # Converting to a date refuses numbers that are not times.
        return Verified(actor, datetime.fromtimestamp(claims["exp"], UTC).timestamp())


def _key_id(token: str) -> str:
    """Return the name of the key that the token says it is signed by; raises if it is no access token."""
    if len(token) > _LONGEST or not token.isascii():
        raise ValueError("no token")
    header = jwt.get_unverified_header(token)
    if header.get("typ") != TYPE:
        raise ValueError("not an access token")
    return str(header["kid"])


def _optional(id: str | None) -> UUID | None:
    return UUID(id) if id else None
