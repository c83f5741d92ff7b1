"""The text of refresh tokens: the id of their organisation, a dot, and a secret.

A server that holds many organisations on several machines so knows where to look. Tokens from before have no
organisation: they are looked up across all until their device renews them.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from uuid import UUID

from tournee.engine.engines import ACROSS, Across

_FORM = re.compile(r"([A-Za-z0-9_-]{22})\.[A-Za-z0-9_-]{43}")


def new_token(organisation_id: UUID) -> str:
    """Return a new refresh token of this organisation."""
    return f"{_encoded(organisation_id)}.{secrets.token_urlsafe(32)}"


def organisation_of(token: str) -> UUID | Across:
    """Return the organisation that the token names, or all for a token that names none."""
    named = _FORM.fullmatch(token)
    return ACROSS if named is None else UUID(bytes=base64.urlsafe_b64decode(named[1] + "=="))


def hashed(token: str) -> str:
    """Return the hash of a token. Tokens are random and long, so one round of SHA-256 makes a stolen
    table useless.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def _encoded(organisation_id: UUID) -> str:
    return base64.urlsafe_b64encode(organisation_id.bytes).decode().rstrip("=")
