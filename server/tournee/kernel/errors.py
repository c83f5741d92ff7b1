"""What a user can cause: one family of refusals, each with a code that clients act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One wrong field of an input."""

    field: str
    code: str
    message: str


class Refused(Exception):
    """The request was understood and is not carried out."""

    code: ClassVar[str] = "REFUSED"
    message: str
    field: str | None
    errors: tuple[FieldError, ...]
    details: Mapping[str, Any] | None

    def __init__(
        self,
        message: str | None = None,
        field: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        errors: Sequence[FieldError] = (),
    ) -> None:
        """`errors` has every wrong field if there are several; `field` is the first."""
        self.message = message or (self.__doc__ or "").strip().splitlines()[0]
        self.field = field
        one = () if field is None else (FieldError(field, self.code, self.message),)
        self.errors = tuple(errors) or one
        self.details = details
        super().__init__(self.message)

    @property
    def fields(self) -> list[str]:
        """The names of the wrong fields."""
        return [error.field for error in self.errors]


class NotFound(Refused):
    """There is no such record among those you may see."""

    code = "NOT_FOUND"


class Forbidden(Refused):
    """Your role does not allow this."""

    code = "FORBIDDEN"


class Invalid(Refused):
    """The input is not valid."""

    code = "INVALID"


class Conflict(Refused):
    """This clashes with an existing record."""

    code = "CONFLICT"


class DoneAlready(Conflict):
    """This was done before, and is done once. A device that says so again is answered that it is done."""


class TransitionNotAllowed(Refused):
    """The record's present status does not allow this step."""

    code = "TRANSITION_NOT_ALLOWED"


class Stale(Refused):
    """The record has changed since you looked at it."""

    code = "STALE"


class Outdated(Stale):
    """The record no longer has the version that you expected."""

    def __init__(self, row: Any, field: str) -> None:
        super().__init__(field=field)
        self.row = row


class ResolutionNotAllowed(Refused):
    """This decision is not allowed for this kind of conflict."""

    code = "RESOLUTION_NOT_ALLOWED"


class Blocked(Refused):
    """Something must be done first."""

    code = "BLOCKED"


class UnknownCommand(Refused):
    """There is no command of this name."""

    code = "UNKNOWN_COMMAND"


class NotOffline(Refused):
    """This command can be used online only."""

    code = "NOT_OFFLINE"


class OperationReused(Refused):
    """An operation with this id but different content was received before."""

    code = "OPERATION_REUSED"


class UnitRefused(Refused):
    """Another operation of the same unit was refused, so none of the unit was carried out."""

    code = "UNIT_REFUSED"


class ParentRefused(Refused):
    """This names a record that will not be created: the operation that creates it was refused."""

    code = "PARENT_REFUSED"


class ParkedLimit(Refused):
    """Too many operations of this device are waiting already; this one was not stored."""

    code = "PARKED_LIMIT"


class SchemaTooNew(Refused):
    """The operation has a newer schema than this server knows; it was not stored."""

    code = "SCHEMA_TOO_NEW"


class Unfinished(Refused):
    """An error on our side stopped this operation. The error was logged, and nothing was stored."""

    code = "INTERNAL"


class ResyncNeeded(Refused):
    """This cursor is too old or belongs to another visibility; start again from nothing."""

    code = "RESYNC"


def refuse_wrong(*wrong: tuple[bool, str, str]) -> None:
    """Raise Invalid for each condition that holds, with its message and field."""
    require_none([Invalid(message, field) for holds, message, field in wrong if holds])


def require_none(refusals: Sequence[Refused]) -> None:
    """Raise the refusals of one input as one, with the code of the first; do nothing if there are none."""
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        first = refusals[0]
        errors = [error for one in refusals for error in one.errors]
        message = " ".join(dict.fromkeys(one.message for one in refusals))
        raise type(first)(message, first.field, details=first.details, errors=errors)


def refusal_codes() -> dict[str, str]:
    """Every code with its default message, the whole family down."""
    found: dict[str, str] = {}
    pending: list[type[Refused]] = [Refused]
    while pending:
        kind = pending.pop()
        pending.extend(kind.__subclasses__())
        if kind is not Refused:
            # If a subclass shares the code, the base class's text is used.
            found.setdefault(kind.code, (kind.__doc__ or "").strip().splitlines()[0])
    return dict(sorted(found.items()))
