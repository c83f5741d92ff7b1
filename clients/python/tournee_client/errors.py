"""The exceptions of this package.

A refused operation raises nothing: see `Device.rejections`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class TourneeError(Exception):
    """Base class of every exception of this package."""


class Offline(TourneeError):
    """The server was not reached or is too busy. Nothing is lost; try again later.

    `retry_after` is in seconds, None when the server named no time.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SignInRefused(TourneeError):
    """The sign-in was refused or is no longer valid: the person has to sign in (again).

    With code `ORGANISATION_NEEDED`, `organisations` lists those to choose from, each with `id` and `name`.
    """

    def __init__(
        self, code: str, message: str | None = None, organisations: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(message or code)
        self.code = code
        self.organisations = tuple(organisations)


class Revoked(TourneeError):
    """This device was revoked. When a `Device` raises it, the copy is erased and the server knows.

    `surrender` is true when the device was allowed to send its unsent work first.
    """

    def __init__(self, message: str = "this device was revoked", surrender: bool = False) -> None:
        super().__init__(message)
        self.surrender = surrender


class TooLarge(TourneeError):
    """One operation or unit exceeds what the server takes in one request; none of it was stored."""


class ProtocolError(TourneeError):
    """The server's answer does not follow the protocol. `status` is its HTTP status, when that was wrong."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
