"""The endpoints of OAuth 2 (RFC 6749): `/auth/token`, and the keys that verify our tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.answers import Json
from tournee.auth.attempts import Attempt, SignIns
from tournee.auth.commands import EnrolDevice
from tournee.auth.failures import Failures
from tournee.auth.passwords import LONGEST
from tournee.auth.sessions import Grant, GrantRefused, Sessions
from tournee.engine.lanes import Lanes
from tournee.kernel.actor import Actor
from tournee.kernel.errors import Refused
from tournee.kernel.inputs import UNSET, Unset

PATHS = frozenset({"/auth/token", "/auth/wiped", "/.well-known/jwks.json"})

# A form is usually a few hundred bytes, but a password may be long, and its characters may be escaped.
_LONGEST_FORM = 32 * 1024
_MOST_FIELDS = 20

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class _BadRequest(Exception):
    """The form is invalid; the message says why."""

    def __init__(self, error: str, description: str) -> None:
        self.error = error
        self.description = description
        super().__init__(description)


class Endpoints:
    """The routes for signing in."""

    def __init__(self, sessions: Sessions, lanes: Lanes) -> None:
        self.sessions = sessions
        self.lanes = lanes
        self.attempts = SignIns(Failures(sessions.kernel.database))

    def routes(self) -> list[Route]:
        return [
            Route("/auth/token", self.token, methods=["POST"]),
            Route("/auth/wiped", self.wiped, methods=["POST"]),
            Route("/.well-known/jwks.json", self.keys, methods=["GET"]),
        ]

    async def token(self, request: Request) -> Response:
        """Answer with tokens for a password or a refresh token."""
        kind = None
        try:
            form = await _form(request)
            kind = _field(form, "grant_type")
            if kind == "refresh_token":
                return await self._by_refresh_token(_field(form, "refresh_token"))
            if kind == "password":
                return await self._by_password(request, form)
        except _BadRequest as refusal:
            return _error(refusal.error, refusal.description)
        except GrantRefused as refusal:
            structlog.get_logger().info("sign_in_refused", by=kind, code=refusal.code)
            return _error(refusal.error, refusal.description, refusal.code, **refusal.details)
        return _error("unsupported_grant_type", "Use password or refresh_token.")

    async def _by_password(self, request: Request, form: Mapping[str, str]) -> Response:
        name = _field(form, "username").strip().lower()
        password = _field(form, "password")
        device, organisation_id = _device(form), _uuid(form, "organisation")
        address = request.client.host if request.client else ""
        if wait := self.attempts.wait(name, address):
            return _slow_down(wait)
        async with self.lanes.sign_ins.turn(None):
            # Earlier attempts in the queue may have failed meanwhile.
            if wait := self.attempts.wait(name, address):
                return _slow_down(wait)
            attempt = self.attempts.begin(name, address)
            if wait := await attempt.wait():
                return _slow_down(wait)
            try:
                grant = await self.sessions.sign_in(name, password, device, organisation_id)
            except GrantRefused as refusal:
                await _count(attempt, proved=refusal.proved)
                raise
            await _count(attempt, proved=grant.proved)
        structlog.get_logger().info("signed_in", **_who(grant.actor))
        return self._granted(grant)

    async def _by_refresh_token(self, token: str) -> Response:
        async with self.lanes.renewals.turn(None):
            return self._granted(await self.sessions.refresh(token))

    def _granted(self, grant: Grant) -> Response:
        body = {
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "token_type": "Bearer",
            "expires_in": self.sessions.tokens.settings.access_token_seconds,
        }
        return Json(body, headers=_NO_STORE)

    async def wiped(self, request: Request) -> Response:
        """Let a revoked device confirm, with its last refresh token, that its copy is erased."""
        try:
            token = _field(await _form(request), "refresh_token")
            async with self.lanes.renewals.turn(None):
                await self.sessions.confirm_wipe(token)
        except _BadRequest as refusal:
            return _error(refusal.error, refusal.description)
        except (GrantRefused, Refused):
            return _error("invalid_grant", "This device has nothing to confirm.")
        return Response(status_code=204, headers=_NO_STORE)

    async def keys(self, request: Request) -> Response:
        """Answer with the public keys, as a JSON Web Key Set."""
        ring = self.sessions.tokens.ring
        await ring.ready()
        return Json(ring.published(), headers={"Cache-Control": "max-age=300"})


async def _count(attempt: Attempt, *, proved: bool) -> None:
    if proved:
        attempt.succeeded()
    else:
        await attempt.failed()


def _who(actor: Actor) -> dict[str, str | None]:
    device = None if actor.device_id is None else str(actor.device_id)
    return {"organisation": str(actor.organisation_id), "account": str(actor.id), "device": device}


def _slow_down(seconds: int) -> Response:
    structlog.get_logger().info("sign_in_refused", by="password", code="SLOW_DOWN")
    body = {"error": "slow_down", "error_description": "Too many failed sign-ins; wait."}
    return Json(body, 429, headers={**_NO_STORE, "Retry-After": str(seconds)})


async def _form(request: Request) -> Mapping[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise _BadRequest("invalid_request", "Send application/x-www-form-urlencoded.")
    body = await request.body()
    if len(body) > _LONGEST_FORM:
        raise _BadRequest("invalid_request", f"A form may have at most {_LONGEST_FORM} bytes.")
    try:
        text = body.decode()
        fields = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        description = f"Send at most {_MOST_FIELDS} parameters, encoded in UTF-8."
        raise _BadRequest("invalid_request", description) from None
    form = dict(fields)
    if len(form) != len(fields):
        raise _BadRequest("invalid_request", "A parameter is given twice.")
    return form


def _field(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value or len(value) > LONGEST or "\x00" in value:
        raise _BadRequest("invalid_request", f"{name} is missing or cannot be read.")
    return value


def _optional(form: Mapping[str, str], name: str, length: int) -> str | Unset:
    return _field(form, name)[:length] if form.get(name, "").strip() else UNSET


def _uuid(form: Mapping[str, str], name: str) -> UUID | None:
    if not form.get(name):
        return None
    try:
        return UUID(_field(form, name))
    except ValueError:
        raise _BadRequest("invalid_request", f"{name} is not a UUID.") from None


def _device(form: Mapping[str, str]) -> EnrolDevice | None:
    id = _uuid(form, "device")
    if id is None:
        return None
    return EnrolDevice(
        id,
        name=_optional(form, "device_name", 200),
        platform=_optional(form, "platform", 100),
        app_version=_optional(form, "app_version", 100),
    )


def _error(error: str, description: str, code: str | None = None, **more: Any) -> Json:
    body: dict[str, Any] = {"error": error, "error_description": description, **more}
    if code is not None:
        body["code"] = code
    return Json(body, 400, headers=_NO_STORE)
