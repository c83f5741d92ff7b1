"""Accounts, their devices, and what sign-ins leave and need."""

from tournee.auth.models.accounts import (
    ACCOUNT_MOVES,
    DEVICE_MOVES,
    Account,
    AccountStatus,
    Device,
    DeviceStatus,
)
from tournee.auth.models.membership import MEMBERSHIP
from tournee.auth.models.sessions import FailedAttempt, RefreshToken, SignInEmail

__all__ = [
    "ACCOUNT_MOVES",
    "DEVICE_MOVES",
    "MEMBERSHIP",
    "Account",
    "AccountStatus",
    "Device",
    "DeviceStatus",
    "FailedAttempt",
    "RefreshToken",
    "SignInEmail",
]
