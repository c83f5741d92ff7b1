from typing import Any
from uuid import uuid4

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tests.support.house import House
from tests.support.signing_in import PASSWORD, Form
from tournee.answers import Json
from tournee.auth.middleware import unauthenticated
from tournee.kernel.actor import Actor


@pytest.fixture
def token(client: httpx2.AsyncClient) -> Form:
    """Post these parameters to /auth/token."""

    async def post(**form: Any) -> httpx2.Response:
        return await client.post("/auth/token", data={key: str(value) for key, value in form.items()})

    return post


@pytest.fixture
def sign_in(token: Form) -> Form:
    async def by_password(email: str, password: str = PASSWORD, **more: Any) -> httpx2.Response:
        return await token(grant_type="password", username=email, password=password, **more)

    return by_password


@pytest.fixture
def renew(token: Form) -> Form:
    async def by_refresh_token(answer: httpx2.Response) -> httpx2.Response:
        return await token(grant_type="refresh_token", refresh_token=answer.json()["refresh_token"])

    return by_refresh_token


@pytest.fixture
def email() -> str:
    return f"{uuid4()}@demo.example"


@pytest.fixture
async def technician(house: House, email: str) -> Actor:
    return await house.account("TECHNICIAN", email=email, password=PASSWORD)


@pytest.fixture
def whoami(app: Starlette, client: httpx2.AsyncClient) -> Form:
    """Ask the server who the token belongs to; `token` goes into the header unchanged."""

    async def endpoint(request: Request) -> Json:
        actor: Actor | None = request.scope["actor"]
        if actor is None:
            return unauthenticated()
        return Json({"id": actor.id, "role": actor.role, "device": actor.device_id})

    app.router.routes.append(Route("/whoami", endpoint))

    async def ask(token: str | bytes | None = None) -> httpx2.Response:
        text = token.encode("latin-1") if isinstance(token, str) else token
        headers = {} if text is None else {b"Authorization": b"Bearer " + text}
        return await client.get("/whoami", headers=headers)

    return ask
