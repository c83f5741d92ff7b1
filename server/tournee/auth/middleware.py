"""ASGI middleware: `Authorization: Bearer TOKEN` becomes `scope["actor"]`.

Without the header the actor is None, and the endpoint decides whether it needs one. A header with an invalid
token is refused here. Streams end at `scope["token_expires_at"]`, in seconds since 1970.
`scope["authenticate"]` is the same check for tokens that arrive in another way, such as in a WebSocket's
first message. `scope["require"]` checks that account and device are in good standing at a given head.
"""

from __future__ import annotations

from collections.abc import Collection

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from tournee.answers import Json, answer_instead, coded
from tournee.auth.authenticate import Authenticator
from tournee.auth.tokens import TokenRefused, Verified


class AuthenticationMiddleware:
    """Sets the actor. At the paths in `public` it ignores the header."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator, public: Collection[str] = ()) -> None:
        self.app = app
        self.authenticator = authenticator
        self.public = frozenset(public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        scope["authenticate"] = self.authenticator.authenticate
        scope["require"] = self.authenticator.require
        scope["actor"] = scope["token_expires_at"] = None
        if scope["path"] not in self.public:
            try:
                verified = await self._verified(scope)
            except TokenRefused as refusal:
                return await answer_instead(refused(refusal), scope, receive, send, close=4401)
            if verified is not None:
                scope["actor"] = verified.actor
                scope["token_expires_at"] = verified.expires_at
        return await self.app(scope, receive, send)

    async def _verified(self, scope: Scope) -> Verified | None:
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        if not headers or surrender_token(scope) is not None:
            return None
        scheme, _, token = headers[0].decode("latin-1").strip().partition(" ")
        if len(headers) > 1 or scheme.lower() != "bearer" or not token.strip():
            raise TokenRefused("UNAUTHENTICATED", "Send one header `Authorization: Bearer TOKEN`.")
        return await self.authenticator.verify(token.strip())


def surrender_token(scope: Scope) -> str | None:
    """Return the refresh token by which a revoked device surrenders its outbox: `Authorization: Surrender
    TOKEN`.

    It is valid only for a push, which then keeps the operations and applies none.
    """
    if scope["path"] != "/sync/push":
        return None
    headers = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(headers) != 1:
        return None
    scheme, _, token = headers[0].decode("latin-1").strip().partition(" ")
    return token.strip() if scheme.lower() == "surrender" else None


def refused(refusal: TokenRefused) -> Json:
    """Return 401, or 403 for a device that must erase its copy, because a new token would not help it."""
    log_refused(refusal)
    if refusal.code == "DEVICE_REVOKED":
        return coded(403, refusal.code, refusal.message, **refusal.details)
    challenge = f'Bearer error="invalid_token", error_description="{refusal.message}"'
    return coded(401, refusal.code, refusal.message, headers={"WWW-Authenticate": challenge})


def log_refused(refusal: TokenRefused) -> None:
    """Log a refused token; like every line, this one has the client's address."""
    structlog.get_logger().info("token_refused", code=refusal.code)


def unauthenticated() -> Json:
    """Return the answer of an endpoint that needs an actor."""
    return coded(
        401,
        "UNAUTHENTICATED",
        "Sign in first: POST /auth/token.",
        headers={"WWW-Authenticate": "Bearer"},
    )
