"""Read a refusal from an answer, in any of the API's forms."""

from __future__ import annotations

from typing import Any

import httpx2


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    """Return the status and the code of a refused request: ours, GraphQL's or that of RFC 6749."""
    body: dict[str, Any] = answer.json()
    if "errors" in body:
        return answer.status_code, body["errors"][0]["extensions"]["code"]
    error = body["error"]
    return answer.status_code, error["code"] if isinstance(error, dict) else body.get("code", error)
