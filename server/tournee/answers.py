"""Answers that every endpoint gives in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response


class Json(Response):
    """JSON, encoded by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def coded(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Json:
    """An error that a program can act on: `{"error": {"code": …, "message": …}}`."""
    return Json({"error": {"code": code, "message": message, **more}}, status, headers=headers)
