"""Turns lines into planned records, and notes what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import orjson

from tournee.importing.mapping.model import Mapping
from tournee.importing.planning.cells import as_text
from tournee.importing.planning.compiling import Compiler
from tournee.importing.planning.conditions import all_hold
from tournee.importing.planning.plain_words import in_plain_words
from tournee.importing.planning.plan import Plan, Planned
from tournee.importing.planning.recipes import Recipe, recipe_of
from tournee.importing.planning.together import Group, Places, alone, neighbours
from tournee.importing.planning.values import (
    SKIPPED,
    WITHOUT_FIELD,
    WITHOUT_LINE,
    WITHOUT_RECORD,
    NotImportable,
    Problem,
    Readers,
    Values,
)
from tournee.importing.sources.lines import MOST_ENTRIES, Line
from tournee.importing.targets import IMPORTED, record_id
from tournee.kernel.errors import Invalid

_REMEMBERED = 4_000
_BESIDE = "a line beside it cannot be read and may belong to it"
_GROUP = "group"


class Planner:
    """Plans the records of each line by a mapping; it needs no database."""

    def __init__(self, mapping: Mapping, organisation_id: UUID) -> None:
        self.mapping = mapping
        self.organisation_id = organisation_id
        self.readers = Readers(mapping)
        compiler = Compiler(mapping, organisation_id, frozenset(IMPORTED))
        self.recipes = [recipe_of(record, mapping, compiler) for record in mapping.record]
        self.skips = [(skip.reason, all_hold(skip.when, skip.unless)) for skip in mapping.skip]
        columns = mapping.columns.items()
        self.first = [name for name, column in columns if column.on_bad == "report-line"]
        self.expected = [name for name, column in columns if column.expected]
        self.places: Places | None = None
        self._unseen = mapping.used_columns()
        # The last content of each record: lines that only repeat it are skipped.
        self._last_said: dict[tuple[str, str], tuple[UUID, str, dict[str, Any], str | None]] = {}

    @property
    def looks_ahead(self) -> bool:
        """Return whether several lines describe one record, so that the whole file must be read first."""
        return self.mapping.source.group_by is not None or any(recipe.whole for recipe in self.recipes)

    def look_ahead(self, lines: Iterable[Line], places: Places) -> None:
        """Note where each key of such a record appears; `plans` then refuses keys that appear again."""
        for group in self._groups(lines):
            readable = [line for line in group if not line.problem]
            for key in {key: None for line in readable if (key := self._group_key(line)) is not None}:
                # Any second place makes the group incomplete, even one with the same content.
                places.note(_GROUP, key, readable[0].number, str(readable[0].number).encode())
            if readable:
                several = [Values(self.readers, line, []) for line in readable]
                self._note_whole(several, places)
        self.places = places

    def _note_whole(self, several: list[Values], places: Places) -> None:
        values = several[0]
        values.lines = several
        for recipe in self.recipes:
            if recipe.whole and recipe.holds(values):
                key = values.filled_template(recipe.record.key)
                if key is not None:
                    places.note(recipe.record.entity, key, values.line.number, _content(recipe, values))

    def plans(self, lines: Iterable[Line], limit: int | None = None) -> Iterator[Plan]:
        """Yield a plan for each line, or for each group of neighbouring lines with one key.

        After `limit` lines it still completes the current group, because a part of it would look complete.
        """
        count = 0
        for group in self._groups(lines):
            yield self._plan(group)
            count += group.lines
            if limit is not None and count >= limit:
                return

    def unseen_columns(self) -> list[Problem]:
        """Return a problem for each column that the mapping names and no line has: its name may be wrong."""
        reason = "is in no line of the file"
        return [Problem(0, "", "", name, "", reason, WITHOUT_FIELD) for name in sorted(self._unseen)]

    def _groups(self, lines: Iterable[Line]) -> Iterator[Group]:
        if self.mapping.source.group_by is None:
            return alone(lines)
        return neighbours(lines, self._group_key)

    def _group_key(self, line: Line) -> str | None:
        """Return the group's key, read as the mapping says, so that a stray space splits no group."""
        column = self.mapping.source.group_by
        if column is None:
            return None
        reader, origin = self.readers[column]
        raw = line.cells.get(origin)
        value, problem = reader.read(raw)
        if problem is not None:
            return str(raw)
        return None if value is None else as_text(value)

    def _plan(self, group: Group) -> Plan:
        plan = Plan(group.lines, sum(line.size for line in group))
        refused = self._refused(group)
        if self._unseen:
            self._unseen.difference_update(*(line.cells for line in group))
        if refused is None:
            several = [Values(self.readers, line, plan.problems) for line in group]
            self._plan_values(plan, several[0], several)
            return plan
        for line in group:
            key = "" if line.problem else self._group_key(line) or ""
            reason = line.problem or refused
            plan.problems.append(Problem(line.number, "", key, "", line.raw, reason, WITHOUT_LINE))
        return plan

    def _refused(self, group: Group) -> str | None:
        """Return why nothing of these lines can be imported, or None."""
        if group.too_many:
            return f"more than {MOST_ENTRIES:,} lines belong together, which is more than a record can hold"
        if any(line.problem for line in group):
            return _BESIDE
        column = self.mapping.source.group_by
        key = self._group_key(group[0])
        places = self.places.where(_GROUP, key) if self.places is not None and key is not None else None
        if places is None:
            return None
        first, again = places
        return (
            f"the lines of {column} {key!r} are not all together: they begin at line {first} and again at"
            f" line {again}; sort the file by {column}"
        )

    def _plan_values(self, plan: Plan, values: Values, several: list[Values]) -> None:
        values.lines = several
        plan.skipped = next((reason for reason, test in self.skips if test(values)), None)
        if plan.skipped is not None:
            plan.problems.append(Problem(values.line.number, "", "", "", "", plan.skipped, SKIPPED))
            return
        if any(self._spoils(line) for line in several):
            return
        for name in self.expected:
            if not values.is_filled(name):
                values.note(self.mapping.origin(name), "", "is empty")
        scopes: dict[str, list[Values]] = {"": [values]}
        for recipe in self.recipes:
            for one in scopes[""] if recipe.record.each is None else self._entries(plan, recipe, scopes):
                self._plan_record(plan, one, recipe)

    def _entries(self, plan: Plan, recipe: Recipe, scopes: dict[str, list[Values]]) -> list[Values]:
        """Return the entries of the record's list; a nested list comes from the entries of the outer one."""
        each = recipe.record.each or ""
        if each not in scopes:
            around = max(
                (known for known in scopes if f"{each}.".startswith(f"{known}.")), key=len, default=""
            )
            scopes[each] = []
            for values in scopes[around]:
                values.label, values.key = recipe.label, ""
                try:
                    scopes[each] += values.spread(each)
                except NotImportable as problem:
                    line, reason = values.line.number, str(problem)
                    plan.problems.append(Problem(line, recipe.label, "", each, "", reason, WITHOUT_RECORD))
        return scopes[each]

    def _spoils(self, values: Values) -> bool:
        """Return whether a column is bad that makes the mapping refuse the whole line."""
        before = len(values.problems)
        for name in self.first:
            values.value(name)
        for problem in values.problems[before:]:
            problem.done = WITHOUT_LINE
        return len(values.problems) > before

    def _plan_record(self, plan: Plan, values: Values, recipe: Recipe) -> None:
        label = recipe.label
        values.ids[label] = None
        values.label, values.key = label, ""
        if not recipe.holds(values):
            return
        try:
            key, payload = self._payload(values, recipe)
            unit = None if recipe.unit is None else recipe.unit(values)
        except NotImportable as problem:
            values.failed.add(label)
            reason, line = str(problem), values.line.number
            plan.problems.append(Problem(line, label, values.key, "", "", reason, WITHOUT_RECORD))
            return
        last = self._last_said.get((label, key))
        if last is None:
            id = record_id(self.organisation_id, self.mapping.system, recipe.record.entity, key)
            text = str(id)
        else:
            id, text = last[:2]
        values.ids[label] = text
        plan.needed.append((recipe.target.model, id))
        if last is not None and last[2:] == (payload, unit):
            return
        if len(self._last_said) >= _REMEMBERED:
            self._last_said.clear()
        self._last_said[label, key] = id, text, payload, unit
        self._add(plan, values, recipe, id, text, payload, unit)

    def _payload(self, values: Values, recipe: Recipe) -> tuple[str, dict[str, Any]]:
        key = values.filled_template(recipe.record.key)
        if key is None:
            raise NotImportable(f"its key {recipe.record.key} has no value")
        values.key = key
        for line in values.lines[1:]:
            line.label, line.key = recipe.label, key
        places = self.places.where(recipe.record.entity, key) if recipe.whole and self.places else None
        if places is not None:
            raise NotImportable(
                f"line {places[0]} and line {places[1]} describe it differently, and a part of it would look"
                " complete"
            )
        payload = recipe.get(values)
        payload.pop("unit", None) if recipe.unit is not None else None
        _drop_halves(payload, recipe.record.together)
        for name in sorted(recipe.required - payload.keys()):
            raise NotImportable(f"{name} is required and has no value")
        return key, payload

    def _add(
        self,
        plan: Plan,
        values: Values,
        recipe: Recipe,
        id: UUID,
        id_text: str,
        payload: dict[str, Any],
        unit: str | None,
    ) -> None:
        do = self._checked(plan, values, recipe, id_text, payload)
        if do is None:
            values.failed.add(recipe.label)
            return
        plan.records.append(Planned(values.line.number, recipe, id, values.key, do, unit))
        held = vars(do)
        for name, model in recipe.target.references.items():
            referred = held[name]
            if type(referred) is UUID:
                plan.needed.append((model, referred))

    def _checked(self, plan: Plan, values: Values, recipe: Recipe, id: str, payload: dict[str, Any]) -> Any:
        """Return the command's input. A field that it refuses is reported, and left out if it is optional."""
        label, line, key = recipe.label, values.line.number, values.key
        given: dict[str, Any] = {**payload, "id": id}
        if "externalKey" in recipe.target.inputs:
            given["externalKey"] = key
        while True:
            try:
                return recipe.target.create.parse(given)
            except Invalid as refusal:
                field = refusal.field or ""
                name = field.partition(".")[0]
                lost = name not in payload or name in recipe.indispensable or name not in given
                done = WITHOUT_RECORD if lost else WITHOUT_FIELD
                value = "" if name not in payload else as_text(payload[name])[:300]
                reason = in_plain_words(refusal.message, field)
                plan.problems.append(Problem(line, label, key, recipe.column(field), value, reason, done))
                if lost:
                    return None
                del given[name]
                _drop_halves(given, recipe.record.together)


def _content(recipe: Recipe, values: Values) -> bytes:
    try:
        return orjson.dumps(recipe.lists(values))
    except NotImportable as problem:
        return str(problem).encode()


def _drop_halves(payload: dict[str, Any], together: list[list[str]]) -> None:
    for names in together:
        if not payload.keys() >= set(names):
            for name in names:
                payload.pop(name, None)
