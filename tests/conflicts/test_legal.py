"""Which decisions are allowed, for whom and when."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.ask import ask
from tests.support.clashes import Clashes
from tournee.auth.roles import Role, permissions_of
from tournee.catalogue import ENTITIES
from tournee.kernel.conflict import (
    FIELD_CHANGED_BY_BOTH,
    STATE_CHANGED_BY_BOTH,
    ConflictKind,
    ConflictStatus,
    Resolution,
)
from tournee.kernel.errors import (
    Blocked,
    Forbidden,
    Invalid,
    NotFound,
    ResolutionNotAllowed,
    Stale,
    TransitionNotAllowed,
)
from tournee.kernel.registry import registered
from tournee.work.facts import (
    VISIT_ON_CANCELED_APPOINTMENT,
    VISIT_ON_REASSIGNED_APPOINTMENT,
    VISIT_OUT_OF_STEP,
)

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

ROOT = Path(__file__).parents[2]
# The inputs that each decision needs.
MORE: dict[str, Callable[[Clashes], dict[str, Any]]] = {
    "MERGE_FIELDS": lambda _: {
        "fields": [{"name": "symptom", "take": "MINE"}, {"name": "cause", "take": "THEIRS"}]
    },
    "REASSIGN": lambda clashes: {"technicianId": clashes.technician.id},
    "REOPEN": lambda _: {"note": "Demo: look again."},
}
AVAILABLE = "query($id:ID!){conflict(id:$id){availableResolutions{resolution allowed blockedBy needs}}}"
KINDS = [kind for kind in ConflictKind.all() if hasattr(Clashes, f"_{kind.lower()}")]


def test_every_kind_of_conflict_has_decisions() -> None:
    kinds = ConflictKind.all()
    assert all(kind.resolutions for kind in kinds)
    assert {resolution for kind in kinds for resolution in kind.resolutions} == set(Resolution)


def test_the_protocol_documents_the_same_decisions() -> None:
    text = (ROOT / "schema" / "sync.md").read_text().split("\n## Conflicts\n")[1].split("\n## ")[0]
    told: dict[str, tuple[str, list[str]]] = {}
    for kind, when, cell in re.findall(r"^\| `([A-Z_]+)` \| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE):
        told[kind] = when, re.findall(r"`([A-Z_]+)`", cell) or list(told.values())[-1][1]
    assert told == {kind: (kind.description, [*kind.resolutions]) for kind in ConflictKind.all()}


def test_the_deciding_role_may_edit_the_record() -> None:
    edited = [entry for entry in map(registered, ENTITIES.values()) if entry.update and entry.update.offline]
    assert len(edited) > 5
    for entry in edited:
        assert entry.update.permission in permissions_of(Role(entry.model.decider)), entry.name


@pytest.mark.parametrize("kind", KINDS)
async def test_exactly_the_offered_decisions_work(clashes: Clashes, kind: ConflictKind) -> None:
    conflict = await clashes.of(kind)
    found = await ask(clashes.house, AVAILABLE, "DISPATCHER", id=str(conflict.id))
    offered = {one["resolution"]: one for one in found["conflict"]["availableResolutions"]}
    assert offered.keys() == set(kind.resolutions)
    for resolution in set(Resolution) - offered.keys():
        with pytest.raises(ResolutionNotAllowed) as refusal:
            await clashes.resolve(conflict, resolution)
        assert all(way in str(refusal.value) for way in kind.resolutions)
    assert {name for name, one in offered.items() if one["blockedBy"]} == BLOCKED.get(kind, set())
    for resolution, one in offered.items():
        assert one["allowed"] is not bool(one["blockedBy"])
        if one["needs"]:
            with pytest.raises((Invalid, Blocked)):
                await clashes.resolve(conflict, resolution)
        if not one["allowed"]:
            with pytest.raises(Blocked) as blocked:
                await clashes.resolve(conflict, resolution, **MORE.get(resolution, lambda _: {})(clashes))
            assert str(blocked.value) == " ".join(one["blockedBy"])
    assert (await clashes.read(conflict)).status is ConflictStatus.OPEN


# The blocked decisions in these conflicts: the technician has already set out.
_EN_ROUTE = {Resolution.REOPEN, Resolution.REASSIGN}
BLOCKED = {
    STATE_CHANGED_BY_BOTH: {Resolution.TAKE_MINE},
    VISIT_ON_CANCELED_APPOINTMENT: _EN_ROUTE,
    VISIT_ON_REASSIGNED_APPOINTMENT: _EN_ROUTE,
    VISIT_OUT_OF_STEP: {*_EN_ROUTE, Resolution.KEEP_THEIRS},
}
_ALLOWED = [(kind, one) for kind in KINDS for one in kind.resolutions if one not in BLOCKED.get(kind, ())]


@pytest.mark.parametrize(("kind", "resolution"), _ALLOWED)
async def test_every_unblocked_decision_succeeds(
    clashes: Clashes, kind: ConflictKind, resolution: Resolution
) -> None:
    conflict = await clashes.of(kind)
    more = {"note": "Demo", **MORE.get(resolution, lambda _: {})(clashes)}
    decided = await clashes.resolve(conflict, resolution, "MANAGER", **more)
    manager = clashes.house.actor("MANAGER").id
    assert (decided.status, decided.resolution) == (ConflictStatus.RESOLVED, resolution)
    assert (decided.resolved_by_id, decided.note, decided.resolved_at is None) == (
        manager,
        more["note"],
        False,
    )
    # Both see it, and the device's copy equals a new one.
    await clashes.device.pull()
    row = clashes.on_device(conflict.id)
    assert (row["resolution"], row["resolvedById"], row["note"]) == (resolution, str(manager), more["note"])
    assert clashes.device.rows == await clashes.device.fresh()
    with pytest.raises(TransitionNotAllowed):
        await clashes.resolve(conflict, resolution, "MANAGER", **more)
    found = await ask(clashes.house, AVAILABLE, "MANAGER", id=str(conflict.id))
    assert found["conflict"]["availableResolutions"] == []


async def test_only_the_conflicts_role_or_a_manager_decides(clashes: Clashes) -> None:
    conflict = await clashes.of(FIELD_CHANGED_BY_BOTH)
    assert conflict.role == "DISPATCHER"
    for role in ("AUDITOR", "REPORTING", clashes.technician.actor):
        with pytest.raises(Forbidden):
            await clashes.resolve(conflict, "ACKNOWLEDGED", role)
        found = await ask(clashes.house, AVAILABLE, role, id=str(conflict.id))
        offered = found["conflict"]["availableResolutions"]
        assert [one["allowed"] for one in offered] == [False] * len(conflict.kind.resolutions)
    with pytest.raises(NotFound):
        await clashes.house.run("resolveConflict", "DISPATCHER", conflictId=clashes.visit.id)


async def test_a_decision_is_refused_when_the_record_changed_again(clashes: Clashes) -> None:
    conflict = await clashes.of(FIELD_CHANGED_BY_BOTH)
    await clashes.office("updateWorkOrder", workOrderId=clashes.order.id, symptom="newer", priority="HIGH")
    with pytest.raises(Stale) as refusal:
        await clashes.resolve(conflict, "KEEP_THEIRS")
    assert refusal.value.details == {"symptom": "newer"}
    assert "symptom is now newer" in refusal.value.message
    text = "query($id:ID!){conflict(id:$id){standing standsNow}}"
    seen = (await ask(clashes.house, text, "DISPATCHER", id=str(conflict.id)))["conflict"]
    assert seen == {
        "standing": {"symptom": "mine", "cause": "mine"},
        "standsNow": {"symptom": "newer", "cause": "mine"},
    }
    await clashes.resolve(conflict, "KEEP_THEIRS", despiteChanges=True)
    order = await clashes.read(clashes.order)
    assert (order.symptom, order.cause) == ("theirs", "theirs")


async def test_a_refused_decision_returns_the_present_values_in_graphql(clashes: Clashes) -> None:
    conflict = await clashes.of(FIELD_CHANGED_BY_BOTH)
    await clashes.office("updateWorkOrder", workOrderId=clashes.order.id, cause="newer")
    text = """mutation($input:ResolveConflictInput!){resolveConflict(input:$input){
      ...on Refusal{code field details}}}"""
    given = {"conflictId": str(conflict.id), "resolution": "TAKE_MINE"}
    found = await ask(clashes.house, text, "DISPATCHER", input=given)
    assert found["resolveConflict"] == {
        "code": "STALE", "field": "conflictId", "details": {"cause": "newer"}
    }  # fmt: skip
