"""What can go wrong between a device and its server.

A refused operation is no error: see `Device.rejections`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class TourneeError(Exception):
    """Root of everything this package raises on purpose."""


class Offline(TourneeError):
    """The server was not reached, or is too busy; nothing is lost, try again later."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SignInRefused(TourneeError):
    """The server does not accept who we say we are; the person has to sign in (again).

    With code `ORGANISATION_NEEDED`, `organisations` lists those to choose from, each with `id` and `name`.
    """

    def __init__(
        self, code: str, message: str | None = None, organisations: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(message or code)
        self.code = code
        self.organisations = tuple(organisations)


class Revoked(TourneeError):
    """This device was revoked; once a `Device` raises it, its copy is erased and the server knows.

    `surrender`: it was allowed to hand in what it had not sent, and has done so.
    """

    def __init__(self, message: str = "this device was revoked", surrender: bool = False) -> None:
        super().__init__(message)
        self.surrender = surrender


class TooLarge(TourneeError):
    """One operation, or one unit, is more than the server takes in one request; nothing of it was kept."""


class ProtocolError(TourneeError):
    """The server answered something the protocol does not know."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
