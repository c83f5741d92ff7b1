"""GraphQL requests, read strictly: anything else is a BadRequest with a code."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from tournee.api.limits import MOST_BYTES, MOST_CHARACTERS, TOO_LONG
from tournee.kernel.once import LONGEST_KEY

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
EVENTS = "text/event-stream"
MULTIPART = "multipart/mixed"

# The media type that a range selects; old clients expect JSON for wildcards.
_MEANS = {JSON: JSON, GRAPHQL: GRAPHQL, EVENTS: EVENTS, "*/*": JSON, "application/*": JSON, "text/*": EVENTS}

# The parameter of multipart/mixed by which Apollo's clients ask for a subscription.
_SUBSCRIPTIONS = "subscriptionspec=1.0"

_PARTS = (
    ("query", str),
    ("documentId", str),
    ("variables", dict),
    ("extensions", dict),
    ("operationName", str),
)
_HASH = re.compile("[0-9a-fA-F]{64}")


class BadRequest(Exception):
    """The request is answered with a status of its own."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}


@dataclass(frozen=True)
class Asked:
    """One operation."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None
    # Whether the answer says what the operation costs.
    wants_cost: bool = False


def idempotency(request: Request, asked: Asked) -> tuple[str, str] | None:
    """Return the request's idempotency key and the hash of what it asks; None if it has no key."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        message = f"`Idempotency-Key` must have 1 to {LONGEST_KEY} visible ASCII characters."
        raise BadRequest(400, "BAD_REQUEST", message)
    body = orjson.dumps([asked.query, asked.operation_name, asked.variables], option=orjson.OPT_SORT_KEYS)
    return key, hashlib.sha256(body).hexdigest()


# Returns the document of a request by its text, by its hash or by both; None if it has neither.
Find = Callable[[str | None, str | None], str | None]


async def read(request: Request, find: Find) -> Asked:
    """Read the operation of a request; GET has it in the address, POST as JSON."""
    if request.method == "GET":
        given: Any = dict(request.query_params)
        for name in ("variables", "extensions"):
            if given.get(name):
                given[name] = _json(given[name].encode())
        return asked(given, find)
    if request.method != "POST":
        raise BadRequest(405, "METHOD_NOT_ALLOWED", "Use POST, or GET for queries.", {"Allow": "GET, POST"})
    media, *parameters = request.headers.get("content-type", "").lower().split(";")
    charsets = [one.split("=")[1].strip(' "') for one in parameters if one.strip().startswith("charset=")]
    if media.strip() != JSON or charsets not in ([], ["utf-8"], ["utf8"]):
        raise BadRequest(415, "UNSUPPORTED_MEDIA_TYPE", f"Send {JSON} in UTF-8.", {"Accept-Post": JSON})
    return asked(_json(await request.body()), find)


def asked(given: Any, find: Find) -> Asked:
    """Read the operation from a decoded request; raises BadRequest if a part has the wrong type."""
    if isinstance(given, list):
        raise BadRequest(400, "BAD_REQUEST", "Send one operation at a time; batches are not accepted.")
    if not isinstance(given, dict):
        raise BadRequest(400, "BAD_REQUEST", "The body must be a JSON object.")
    for name, kind in _PARTS:
        if not isinstance(given.get(name), (kind, type(None))):
            what = "an object" if kind is dict else "text"
            raise BadRequest(400, "BAD_REQUEST", f"`{name}` must be {what}, if it is given.")
    extensions = given.get("extensions") or {}
    query = _query(given.get("query") or None, _hash(given.get("documentId"), extensions), find)
    wants_cost = extensions.get("cost") is True
    return Asked(query, given.get("variables"), given.get("operationName") or None, wants_cost)


def _query(text: str | None, hash: str | None, find: Find) -> str:
    if text is not None and len(text) > MOST_CHARACTERS:
        raise BadRequest(413, "LIMIT_EXCEEDED", TOO_LONG)
    query = find(text, hash)
    if query is None:
        raise BadRequest(400, "BAD_REQUEST", "`query` must be the text of a GraphQL document.")
    return query


def _hash(document_id: str | None, extensions: Mapping[str, Any]) -> str | None:
    """Return the hash that a request names its document by: in `documentId`, or as Apollo's clients do."""
    if document_id is not None:
        scheme, _, hash = document_id.partition(":")
        if scheme != "sha256" or not _HASH.fullmatch(hash):
            message = "`documentId` must be `sha256:` and 64 hexadecimal digits."
            raise BadRequest(400, "BAD_REQUEST", message)
        return hash.lower()
    persisted = extensions.get("persistedQuery")
    if persisted is None:
        return None
    known = isinstance(persisted, dict) and persisted.get("version") == 1
    named = persisted.get("sha256Hash") if known else None
    if not isinstance(named, str) or not _HASH.fullmatch(named):
        message = '`extensions.persistedQuery` must be `{"version": 1, "sha256Hash": "…"}`.'
        raise BadRequest(400, "BAD_REQUEST", message)
    return named.lower()


def _json(text: bytes) -> Any:
    if len(text) > MOST_BYTES:
        message = f"A request has at most {MOST_BYTES} bytes; send large amounts of work through /sync/push."
        raise BadRequest(413, "LIMIT_EXCEEDED", message)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRequest(400, "MALFORMED", "The body is not valid JSON in UTF-8.") from None


def preferred(accept: str | None) -> str:
    """Return the media type to answer with: the one with the greatest weight; of equals, the first.

    Some clients name text/event-stream with every request, after JSON, and mean JSON.
    """
    best, greatest = None, 0.0
    for part in (accept or "*/*").lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = _weight(parameters)
        # Clients also name it for incremental delivery, which this server does not have.
        meant = MULTIPART if media == MULTIPART and _SUBSCRIPTIONS in parameters else _MEANS.get(media)
        if meant is not None and weight > greatest:
            best, greatest = meant, weight
    if best is None:
        raise BadRequest(
            406, "NOT_ACCEPTABLE", f"Answers come as {GRAPHQL}, {JSON}, {EVENTS} or {MULTIPART}."
        )
    return best


def _weight(parameters: list[str]) -> float:
    for one in parameters:
        if one.startswith("q="):
            try:
                return float(one[2:])
            except ValueError:
                return 0.0
    return 1.0
