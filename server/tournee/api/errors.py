"""Errors of operations: expected ones have a code, and nothing of the others is revealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import structlog
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError

from tournee.auth.tokens import TokenRefused
from tournee.kernel.errors import Refused
from tournee.kernel.outages import Outage, QueryTimeout, is_timeout, outage_of

HIDDEN = "Something went wrong on our side."
NO_OPERATION = "The document has no such operation."

# These limits keep an answer small, however many errors a request has and however long its texts are.
MOST_ERRORS = 5
MOST_MESSAGE = 300
MOST_LOCATIONS = 3


class Rejected(Exception):
    """The question itself is wrong; clients see this error with its code."""

    code: ClassVar[str] = "BAD_USER_INPUT"


class InvalidCursor(Rejected):
    """A cursor that was not made by this list in this order."""

    code = "INVALID_CURSOR"

    def __init__(self) -> None:
        super().__init__("This cursor does not belong to this list in this order.")


class LimitExceeded(Rejected):
    """More than one operation may ask for."""

    code = "LIMIT_EXCEEDED"


def coded(message: str, code: str, **extensions: Any) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code, **extensions})


def come_back(cause: Outage) -> GraphQLError:
    """Return the error of an operation that cannot be served now."""
    return GraphQLError(cause.message, extensions=_come_back(cause))


def _come_back(cause: Outage) -> dict[str, Any]:
    return {"code": cause.code, "retryAfter": cause.retry_after}


def present(errors: Sequence[GraphQLError], request_id: str = "") -> list[GraphQLError]:
    """Return the first errors in the form in which they may leave the server; unexpected ones are logged
    and masked.
    """
    return [_present(error, request_id) for error in errors[:MOST_ERRORS]]


def _present(error: GraphQLError, request_id: str) -> GraphQLError:
    cause = cause_of(error)
    if isinstance(cause, Refused):
        field = {} if cause.field is None else {"field": cause.field}
        return _again(error, cause.message, {"code": cause.code, **field})
    if isinstance(cause, (Rejected, TokenRefused, QueryTimeout)):
        return _again(error, str(cause), {"code": cause.code})
    if isinstance(cause, CannotGetOperationTypeError):
        return _again(error, NO_OPERATION, {"code": "BAD_REQUEST"})
    if isinstance(cause, InvalidOperationTypeError):
        return _again(error, error.message, {"code": "METHOD_NOT_ALLOWED"})
    if (outage := outage_of(cause)) is not None:
        _log(outage, cause)
        return _again(error, outage.message, _come_back(outage))
    if cause is not None:
        structlog.get_logger().error("graphql_failed", request_id=request_id, path=error.path, exc_info=cause)
        return _again(error, HIDDEN, {"code": "INTERNAL", "id": request_id})
    if error.extensions and "code" in error.extensions:
        return _again(error, error.message, error.extensions)
    return _again(error, error.message, {**(error.extensions or {}), "code": _kind(error)})


def _log(outage: Outage, cause: BaseException | None) -> None:
    """Log the cause. A full lane is normal; a database that is away is not."""
    if outage is not cause:
        structlog.get_logger().warning("outage", code=outage.code, error=repr(cause)[:300])


def cause_of(error: BaseException) -> BaseException | None:
    """Return what was raised, without the wrappers of GraphQL, or QueryTimeout."""
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return QueryTimeout() if is_timeout(cause) else cause


def _kind(error: GraphQLError) -> str:
    if isinstance(error, GraphQLSyntaxError):
        return "GRAPHQL_PARSE_FAILED"
    return "BAD_USER_INPUT" if error.path else "GRAPHQL_VALIDATION_FAILED"


def _again(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    positions = None if error.positions is None else list(error.positions)[:MOST_LOCATIONS]
    short = message if len(message) <= MOST_MESSAGE else f"{message[:MOST_MESSAGE]}…"
    return GraphQLError(short, None, error.source, positions, error.path, extensions=extensions)
