"""What domains declare: permissions, kinds of conflict, who decides about an entity."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tournee.auth.roles import Role, grant, permissions_of, require_decisions
from tournee.kernel.actor import Permission
from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH, ConflictKind, Resolution
from tournee.kernel.entity import Base, Entity


@pytest.fixture
def undecided() -> Iterator[Permission]:
    """Declare a permission without deciding which roles hold it."""
    name = "demo:read"
    yield Permission(name, "Nothing")
    del Permission.declared[name]


def test_a_permission_without_a_role_decision_is_reported_and_granted_to_nobody(
    undecided: Permission,
) -> None:
    assert not any(undecided in permissions_of(role) for role in Role)
    with pytest.raises(TypeError, match="which roles hold: demo:read"):
        require_decisions()


def test_a_name_can_be_declared_only_once() -> None:
    with pytest.raises(TypeError, match="twice"):
        Permission("work:read", "Something else")
    with pytest.raises(TypeError, match="twice"):
        ConflictKind("FIELD_CHANGED_BY_BOTH", "Something else.", Resolution.ACKNOWLEDGED)
    with pytest.raises(TypeError, match="twice"):
        grant(Permission.named("work:read"), {Role.MANAGER})


def test_only_a_declared_name_is_found_by_its_text() -> None:
    assert ConflictKind.named("FIELD_CHANGED_BY_BOTH") is FIELD_CHANGED_BY_BOTH
    with pytest.raises(ValueError, match="no ConflictKind NOTHING"):
        ConflictKind.named("NOTHING")


def test_an_entity_without_a_deciding_role_is_refused() -> None:
    try:
        with pytest.raises(TypeError, match=r"Undecided .* must declare `decider`.* and `reads`"):

            class Undecided(Entity):
                __tablename__ = "undecided"
    finally:
        Base.metadata.remove(Base.metadata.tables["undecided"])
