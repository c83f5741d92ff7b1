"""`GET /sync/contract`: the contract for clients that speak no GraphQL."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tournee.auth.middleware import unauthenticated
from tournee.kernel.fields import camel
from tournee.kernel.values import wire_value
from tournee.sync.contract import SyncContract


def wire_form(value: Any) -> Any:
    """Return nested values as JSON has them, with names in camelCase."""
    if dataclasses.is_dataclass(value):
        return {camel(name): wire_form(one) for name, one in vars(value).items()}
    if isinstance(value, list):
        return [wire_form(one) for one in value]
    return wire_value(value)


def contract_route(contract: SyncContract) -> Route:
    """Answer with the contract. It changes only with the server's version, so a client that has it gets
    304.
    """
    body = orjson.dumps(wire_form(contract))
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}

    async def serve(request: Request) -> Response:
        if request.scope.get("actor") is None:
            return unauthenticated()
        known = {
            one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")
        }
        if known & {tag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    return Route("/sync/contract", serve, methods=["GET"])
