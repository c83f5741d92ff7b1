"""Turns away those for whom there is no place in line before anything else is done for them.

A crowd that is told to come back must cost little, or it takes the time of those who are being served.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from tournee.engine.lanes import Lane


class AdmissionMiddleware:
    """Guards one path by its lane."""

    def __init__(self, app: ASGIApp, path: str, lane: Lane) -> None:
        self.app = app
        self.path = path
        self.lane = lane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_too_much(scope):
            # Logged and counted as the route it would have come to.
            scope["route"] = self
            raise self.lane.overloaded()
        await self.app(scope, receive, send)

    def _is_too_much(self, scope: Scope) -> bool:
        return scope["type"] == "http" and scope["path"] == self.path and self.lane.is_full
