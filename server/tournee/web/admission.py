"""Turns away requests whose lane is full, before any other work is done for them.

Turning away a crowd must be cheap, or it slows down the requests that are being served.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tournee.engine.lanes import Lane


class AdmissionMiddleware:
    """Turns away requests to one path while its lane is full."""

    def __init__(self, app: ASGIApp, path: str, lane: Lane) -> None:
        self.app = app
        self.path = path
        self.lane = lane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_too_much(scope):
            # Log and count it under the route that would have served it.
            scope["route"] = self
            raise self.lane.overloaded()
        await self.app(scope, receive, send)

    def _is_too_much(self, scope: Scope) -> bool:
        return scope["type"] == "http" and scope["path"] == self.path and self.lane.is_full
