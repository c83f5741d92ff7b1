"""Templates and their versions."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.field import ITEMS, checklist, run_at, site
from tests.support.house import House
from tournee.kernel.errors import Blocked, Conflict, Forbidden, Invalid, NotFound, TransitionNotAllowed

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


async def test_a_published_version_can_never_be_changed(house: House) -> None:
    _, version_id = await checklist(house)
    for command in ("updateChecklistDraft", "publishChecklistVersion"):
        items = {"items": ITEMS[:1]} if command == "updateChecklistDraft" else {}
        with pytest.raises(TransitionNotAllowed, match="never changes"):
            await house.run(command, versionId=version_id, **items)


async def test_a_new_draft_copies_the_last_version_under_the_next_number(house: House) -> None:
    template_id, _ = await checklist(house)
    draft = await house.run("draftChecklistVersion", templateId=template_id)
    assert (draft.number, [item["key"] for item in draft.items]) == (
        2,
        ["on", "pressure", "remarks", "photos"],
    )
    with pytest.raises(Conflict, match="draft"):
        await house.run("draftChecklistVersion", templateId=template_id)
    changed = await house.run("updateChecklistDraft", versionId=draft.id, items=ITEMS[:1])
    assert [item["key"] for item in changed.items] == ["on"]


async def test_a_run_keeps_its_version_when_a_newer_one_is_published(house: House) -> None:
    template_id, first = await checklist(house)
    site_id = await site(house)
    old = await run_at(house, site_id, first)
    draft = await house.run(
        "draftChecklistVersion", templateId=template_id, items=[{**ITEMS[0], "key": "new"}]
    )
    await house.run("publishChecklistVersion", versionId=draft.id)
    new = await house.run("addChecklistRun", templateId=template_id, siteId=site_id)
    assert (old.version_id, new.version_id) == (first, draft.id)
    at = "2026-11-20T09:00:00Z"
    await house.run("answerChecklistItem", runId=old.id, itemKey="on", checked=True, at=at)
    with pytest.raises(Invalid, match="no such item"):
        await house.run("answerChecklistItem", runId=old.id, itemKey="new", checked=True, at=at)


async def test_a_bad_definition_is_refused_when_the_draft_is_saved(house: House) -> None:
    template = await house.run("createChecklistTemplate", key="x", title="X")
    with pytest.raises(Invalid) as refusal:
        await house.run("draftChecklistVersion", templateId=template.id, items=[ITEMS[1]])
    assert refusal.value.field == "items.0.condition.itemKey"
    draft = await house.run("draftChecklistVersion", templateId=template.id)
    with pytest.raises(Invalid, match="without items"):
        await house.run("publishChecklistVersion", versionId=draft.id)


async def test_an_item_can_refer_only_to_existing_clauses(house: House) -> None:
    template = await house.run("createChecklistTemplate", key="x", title="X")
    with pytest.raises(NotFound) as refusal:
        await house.run(
            "draftChecklistVersion", templateId=template.id, items=[{**ITEMS[0], "clauseId": uuid4()}]
        )
    assert refusal.value.field == "items.0.clauseId"


async def test_a_checklist_key_is_unique(house: House) -> None:
    await checklist(house)
    with pytest.raises(Conflict) as refusal:
        await house.run("createChecklistTemplate", key="inspection", title="Another")
    assert refusal.value.field == "key"
    other = await House(house.database).found()
    assert await checklist(other)


async def test_an_archived_checklist_starts_no_runs_until_restored(house: House) -> None:
    template_id, version_id = await checklist(house)
    site_id = await site(house)
    await house.run("archiveChecklistTemplate", templateId=template_id)
    for use in ({"templateId": template_id}, {"versionId": version_id}):
        with pytest.raises(TransitionNotAllowed, match="archived"):
            await house.run("addChecklistRun", siteId=site_id, **use)
    with pytest.raises(TransitionNotAllowed):
        await house.run("draftChecklistVersion", templateId=template_id)
    with pytest.raises(TransitionNotAllowed):
        await house.run("archiveChecklistTemplate", templateId=template_id)
    await house.run("restoreChecklistTemplate", templateId=template_id)
    assert await run_at(house, site_id, version_id)


async def test_a_run_needs_a_published_version_of_the_right_checklist(house: House) -> None:
    site_id = await site(house)
    template = await house.run("createChecklistTemplate", key="x", title="X")
    with pytest.raises(Blocked, match="no published version"):
        await house.run("addChecklistRun", templateId=template.id, siteId=site_id)
    draft = await house.run("draftChecklistVersion", templateId=template.id, items=ITEMS)
    with pytest.raises(Blocked, match="draft"):
        await house.run("addChecklistRun", versionId=draft.id, siteId=site_id)
    _, other = await checklist(house)
    with pytest.raises(Invalid, match="another checklist"):
        await house.run("addChecklistRun", templateId=template.id, versionId=other, siteId=site_id)
    with pytest.raises(Invalid, match="Name a template"):
        await house.run("addChecklistRun", siteId=site_id)
    with pytest.raises(Invalid, match="Name a visit"):
        await house.run("addChecklistRun", versionId=other)


async def test_defining_checklists_needs_the_write_permission(house: House) -> None:
    for role in ("TECHNICIAN", "DISPATCHER"):
        with pytest.raises(Forbidden):
            await house.run("createChecklistTemplate", role, key="x", title="X")
