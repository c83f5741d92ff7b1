"""The table of dormant scopes."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import BigInteger, LargeBinary, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import OrganisationRow


class DormantScope(OrganisationRow):
    """A scope that nobody holds, or held lately: one list of records instead of their edges."""

    __tablename__ = "dormant_scope"
    scope: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    # The number of the last change when it became dormant.
    seq: Mapped[int] = mapped_column(BigInteger)
    # The ids that lay in it when that was, sixteen bytes each.
    records: Mapped[bytes] = mapped_column(LargeBinary)
