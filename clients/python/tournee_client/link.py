"""Requests to the server: tokens, and the exceptions that its refusals become."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import httpx2

from tournee_client.errors import Offline, ProtocolError, Revoked, SignInRefused
from tournee_client.retry import Backoff
from tournee_client.store import Store
from tournee_client.wire import Page

JSON = {"Content-Type": "application/json"}
_BUSY = frozenset({408, 425, 429})
_ONCE = Backoff(attempts=1)
# Longer than the server's heartbeat: silence means that the connection is dead.
_STREAM = httpx2.Timeout(30.0, read=90.0)


class Link:
    """Sends authorised requests; renews the access token when it has expired."""

    def __init__(
        self,
        base_url: str,
        store: Store,
        http: httpx2.AsyncClient,
        *,
        name: str,
        clock: Callable[[], datetime],
        backoff: Backoff,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._store = store
        self._http = http
        self._name = name
        self._clock = clock
        self._backoff = backoff
        self._access: str | None = None
        self._granting = asyncio.Lock()
        self.clock_skew: timedelta | None = None

    async def sign_in(self, username: str, password: str, organisation: str | UUID | None = None) -> None:
        """Exchange a password for tokens that belong to this device."""
        self._same_server()
        self._same_person(username)
        async with self._granting:
            form = {"grant_type": "password", "username": username, "password": password}
            form |= {"device": self._store.device, "device_name": self._name}
            try:
                await self._grant(
                    form if organisation is None else {**form, "organisation": str(organisation)}
                )
            except SignInRefused as refused:
                # The store belongs to one organisation, so a person who signs in again need not choose it.
                known = (self._store.database.get("account") or "").partition("/")[0]
                if known not in {one.get("id") for one in refused.organisations}:
                    raise
                await self._grant({**form, "organisation": known})
        self._store.database.put("user", username)
        self._store.database.put("server", self._base)

    def _same_server(self) -> None:
        server = self._store.database.get("server")
        if server is not None and server.casefold() != self._base.casefold():
            # Otherwise one server's work would go to another, with the first one's token.
            raise SignInRefused(
                "other_server", f"the store belongs to {server}; call Store.move if that is this server"
            )

    def _same_person(self, username: str) -> None:
        user = self._store.database.get("user")
        if user is not None and user.casefold() != username.casefold():
            # Otherwise one person's work would be sent, and their customers shown, as another's.
            raise SignInRefused(
                "other_user", "the store belongs to another person; send their work, then wipe it"
            )

    def sign_out(self) -> None:
        """Forget the tokens, not the work."""
        self._access = None
        self._store.database.put("refresh_token", None)

    async def _refresh(self, stale: str | None) -> None:
        async with self._granting:
            if self._access != stale:
                return
            token = self._store.database.get("refresh_token")
            if token is None:
                raise SignInRefused("not_signed_in")
            self._same_server()
            await self._grant({"grant_type": "refresh_token", "refresh_token": token})

    async def _grant(self, form: Mapping[str, str]) -> None:
        request = self._http.build_request("POST", f"{self._base}/auth/token", data=form)
        response = await self._send(request)
        if response.status_code in (400, 401):
            said = _said(response)
            if said.get("code") == "DEVICE_REVOKED" and isinstance(said.get("refresh_token"), str):
                # A device that had signed out needs it to send its work and confirm the wipe.
                self._store.database.put("refresh_token", said["refresh_token"])
            _stay(said)
            body = _json(response, dict)
            raise _refusal(body)
        body = _json(_checked(response, self._clock), dict)
        access, refresh = body.get("access_token"), body.get("refresh_token")
        if not isinstance(access, str):
            raise ProtocolError("the answer has no access token")
        self._same_account(access)
        if refresh is not None:
            # Stored before it is used: the old one is void from now on.
            self._store.database.put("refresh_token", refresh)
        self._access = access

    def _same_account(self, access: str) -> None:
        """Refuse another account of the same name: a recreated one, or one of another organisation."""
        account = _account(access)
        known = self._store.database.get("account")
        if account is not None and known is not None and account != known:
            raise SignInRefused("other_account", "the store belongs to another account of this name")
        if account is not None:
            self._store.database.put("account", account)

    async def surrender(self, body: bytes, patient: bool) -> Any:
        """Send work with the refresh token, as a revoked device has no access token."""
        header = {"Authorization": f"Surrender {self._store.database.get('refresh_token')}"}

        async def hand_in() -> Any:
            request = self._http.build_request(
                "POST", f"{self._base}/sync/push", content=body, headers=header | JSON
            )
            response = await self._send(request)
            if response.status_code in (401, 403):
                _stay(_said(response))
                raise SignInRefused("unauthorized")
            return _json(_checked(response, self._clock), object)

        return await (self._backoff if patient else _ONCE).run(hand_in)

    async def wiped(self, patient: bool) -> None:
        """Confirm that the copy is erased. A refusal counts as done, as a retry would not help."""
        form = {"refresh_token": self._store.database.get("refresh_token") or ""}

        async def say() -> None:
            request = self._http.build_request("POST", f"{self._base}/auth/wiped", data=form)
            response = await self._send(request)
            status = response.status_code
            if status != 204 and (status in _BUSY or not 400 <= status < 500):
                raise Offline(f"the server answered {status}", _retry_after(response, self._clock))

        await (self._backoff if patient else _ONCE).run(say)

    async def call(self, method: str, path: str, patient: bool, **options: Any) -> Any:
        """Send an authorised request, with retries if patient, and return the JSON of its answer."""
        return await (self._backoff if patient else _ONCE).run(lambda: self._call(method, path, options))

    async def _call(self, method: str, path: str, options: Any) -> Any:
        response = await self._authorised(method, path, options)
        return _json(_checked(response, self._clock), object)

    async def events(self, path: str, cursor: str | None) -> AsyncGenerator[Page]:
        """Yield a stream's pages until it ends."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        response = await self._authorised("GET", path, {"headers": headers, "timeout": _STREAM}, stream=True)
        try:
            if not response.is_success:
                await response.aread()
            source = httpx2.EventSource(_checked(response, self._clock), max_event_size=None)
            async for event in source:
                if event.event == "changes":
                    yield Page.parse(event.json(), event.id or None)
                elif event.event == "closed":
                    _stay(_error(event.json()))
                    return
        except httpx2.TransportError as error:
            raise Offline(f"the stream broke: {error!r}") from error
        except ValueError as error:
            raise ProtocolError(f"unreadable event: {error}") from error
        finally:
            await response.aclose()

    async def _authorised(
        self, method: str, path: str, options: Any, stream: bool = False
    ) -> httpx2.Response:
        if self._access is None:
            await self._refresh(None)
        used = self._access
        response = await self._send(self._request(method, path, options), stream)
        if response.status_code != 401:
            return response
        await response.aclose()
        await self._refresh(used)
        response = await self._send(self._request(method, path, options), stream)
        if response.status_code == 401:
            await response.aclose()
            raise SignInRefused("unauthorized")
        return response

    def _request(self, method: str, path: str, options: Any) -> httpx2.Request:
        headers = {"Authorization": f"Bearer {self._access}", **options.get("headers", {})}
        return self._http.build_request(method, f"{self._base}{path}", **{**options, "headers": headers})

    async def _send(self, request: httpx2.Request, stream: bool = False) -> httpx2.Response:
        sent = self._clock()
        try:
            response = await self._http.send(request, stream=stream, follow_redirects=False)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise Offline(f"no answer: {error!r}") from error
        self._measure(sent, response)
        return response

    def _measure(self, sent: datetime, response: httpx2.Response) -> None:
        """Measure the skew. `Date` was written about halfway and lacks half a second on average."""
        try:
            date = parsedate_to_datetime(response.headers.get("Date", ""))
            self.clock_skew = sent + (self._clock() - sent) / 2 - (date + timedelta(seconds=0.5))
        except (TypeError, ValueError):
            return


def _refusal(body: Mapping[str, Any]) -> SignInRefused:
    error, message = str(body.get("error", "invalid_grant")), body.get("error_description")
    if body.get("code") != "ORGANISATION_NEEDED":
        return SignInRefused(error, message)
    named = body.get("organisations")
    organisations = [one for one in named if isinstance(one, dict)] if isinstance(named, list) else []
    return SignInRefused("ORGANISATION_NEEDED", message, organisations)


def _account(access: str) -> str | None:
    """Return the organisation and account in an access token, None if it cannot be read."""
    try:
        body = access.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return f"{claims['org']}/{claims['sub']}"
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _checked(response: httpx2.Response, clock: Callable[[], datetime]) -> httpx2.Response:
    status = response.status_code
    if status == 200:
        return response
    if status in _BUSY or status >= 500:
        raise Offline(f"the server answered {status}", _retry_after(response, clock))
    if 200 < status < 400:
        raise Offline(f"something between here and the server answered {status}")
    said = _said(response)
    if status == 403:
        _stay(said)
    raise ProtocolError(f"the server answered {status} {said.get('code') or ''}".strip(), status)


def _stay(said: Mapping[str, Any]) -> None:
    if said.get("code") == "DEVICE_REVOKED":
        raise Revoked(surrender=said.get("surrender") is True)


def _json(response: httpx2.Response, kind: type) -> Any:
    try:
        body = response.json()
    except ValueError as error:
        # The sign-in page of a hotel's network answers 200 to everything.
        raise Offline("something between here and the server answered") from error
    if not isinstance(body, kind):
        raise ProtocolError("the answer is not the expected JSON")
    return body


def _said(response: httpx2.Response) -> Mapping[str, Any]:
    """Return the error object of a refusal, empty if the server did not write it."""
    try:
        return _error(response.json())
    except ValueError:
        return {}


def _error(body: Any) -> Mapping[str, Any]:
    nested = body.get("error") if isinstance(body, dict) else None
    found = nested if isinstance(nested, dict) else body
    return found if isinstance(found, dict) else {}


def _retry_after(response: httpx2.Response, clock: Callable[[], datetime]) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - clock()).total_seconds())
    except (TypeError, ValueError):
        return None
