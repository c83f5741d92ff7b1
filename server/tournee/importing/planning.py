"""From lines to records: what each line would have us write, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from tournee.importing.cells import as_text
from tournee.importing.mapping import Condition, Mapping, Record, UnusableMapping
from tournee.importing.sources import Line
from tournee.importing.targets import Commands, Target, importable, record_id, target_of
from tournee.importing.values import (
    WITHOUT_FIELD,
    WITHOUT_LINE,
    WITHOUT_RECORD,
    Compiler,
    NotImportable,
    Problem,
    Readers,
    Values,
)
from tournee.kernel.database import Entity
from tournee.kernel.errors import Invalid

_REMEMBERED = 20_000
_BESIDE = "a line beside it cannot be read and may belong to it"


@dataclass(frozen=True, slots=True)
class Planned:
    """A record that a line speaks of: the input of the command that would create it."""

    line: int
    recipe: Recipe
    id: UUID
    key: str
    do: Any


@dataclass
class Plan:
    """What one line, or one group of lines, yields. `needed` are rows it refers to or speaks of."""

    lines: int
    records: list[Planned] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    needed: list[tuple[type[Entity], UUID]] = field(default_factory=list)
    skipped: str | None = None


@dataclass(frozen=True)
class Recipe:
    """A record section of the mapping, ready to be used on every line."""

    record: Record
    target: Target
    get: Callable[[Values], dict[str, Any]]
    conditions: tuple[Callable[[Values], bool], ...]
    required: frozenset[str]
    indispensable: frozenset[str]
    names: tuple[str, ...]


class Planner:
    """Reads lines by a mapping; knows nothing of the database."""

    def __init__(self, mapping: Mapping, organisation_id: UUID, commands: Commands) -> None:
        self.mapping = mapping
        self.organisation_id = organisation_id
        self.readers = Readers(mapping)
        self.compiler = Compiler(mapping, organisation_id, frozenset(importable(commands)))
        self.recipes = [self._recipe(record, commands) for record in mapping.record]
        self.skips = [(skip.reason, [_test(when) for when in skip.when]) for skip in mapping.skip]
        columns = mapping.columns.items()
        self.first = [name for name, column in columns if column.on_bad == "report-line"]
        self.expected = [name for name, column in columns if column.expected]
        self._last_said: dict[UUID, int] = {}

    def _recipe(self, record: Record, commands: Commands) -> Recipe:
        place = f"record {record.label!r}"
        try:
            target = target_of(record.entity, commands)
        except KeyError:
            known = ", ".join(importable(commands))
            raise UnusableMapping(f"{place}: {record.entity!r} cannot be imported; {known} can") from None
        for name in ("id", "externalKey"):
            if name in record.fields:
                raise UnusableMapping(f"{place}.fields: {name!r} follows from the key; leave it out")
        sources = record.fields
        offered = {name: own for name, own in target.inputs.items() if name not in ("id", "externalKey")}
        get = self.compiler.payload(sources, offered, f"{place}.fields")
        together = {name for group in record.together for name in group}
        if unknown := sorted(together - sources.keys()):
            raise UnusableMapping(f"{place}.together: {unknown[0]!r} is no field of this record")
        required = {name for name in sources if sources[name].required or offered[name].required}
        return Recipe(
            record,
            target,
            get,
            tuple(_test(condition) for condition in record.when),
            frozenset(required),
            # A list of entries is whole or not at all: a part of it would be taken for the whole.
            frozenset(required | {name for name in sources if offered[name].kind.items is not None}),
            tuple(offered[name].name for name in sources),
        )

    def plans(self, lines: Iterable[Line]) -> Iterator[Plan]:
        """A plan for each line, or for each group of neighbouring lines of one key."""
        column = self.mapping.source.group_by
        if column is None:
            for line in lines:
                yield self._plan([line])
            return
        for group in _groups(lines, column):
            yield self._plan(group)

    def _plan(self, lines: list[Line]) -> Plan:
        plan = Plan(len(lines))
        broken = any(line.problem for line in lines)
        for line in lines if broken else ():
            reason = line.problem or _BESIDE
            plan.problems.append(Problem(line.number, "", "", line.raw, reason, WITHOUT_LINE))
        if not broken:
            several = [Values(self.readers, line, plan.problems) for line in lines]
            self._plan_values(plan, several[0], several)
        return plan

    def _plan_values(self, plan: Plan, values: Values, several: list[Values]) -> None:
        values.lines = several
        for reason, tests in self.skips:
            if all(test(values) for test in tests):
                plan.skipped = reason
                plan.problems.append(Problem(values.line.number, "", "", "", reason, "line skipped"))
                return
        if any(self._spoils(line) for line in several):
            return
        for name in self.expected:
            if self.readers[name][0].read(values.raw(name)) == (None, None):
                values.note(self.mapping.origin(name), "", "is empty")
        for recipe in self.recipes:
            self._plan_record(plan, values, recipe)

    def _spoils(self, values: Values) -> bool:
        """Whether a column is bad for which the mapping gives up the whole line."""
        before = len(values.problems)
        for name in self.first:
            values.value(name)
        found = values.problems[before:]
        values.problems[before:] = [
            Problem(one.line, one.record, one.column, one.value, one.reason, WITHOUT_LINE) for one in found
        ]
        return bool(found)

    def _plan_record(self, plan: Plan, values: Values, recipe: Recipe) -> None:
        label = recipe.record.label
        values.ids[label] = None
        if not all(test(values) for test in recipe.conditions):
            return
        try:
            key, payload = _payload(values, recipe)
        except NotImportable as problem:
            values.failed.add(label)
            plan.problems.append(Problem(values.line.number, label, "", "", str(problem), WITHOUT_RECORD))
            return
        id = record_id(self.organisation_id, self.mapping.system, recipe.record.entity, key)
        values.ids[label] = id
        self._add(plan, values, recipe, id, key, payload)

    def _add(
        self, plan: Plan, values: Values, recipe: Recipe, id: UUID, key: str, payload: dict[str, Any]
    ) -> None:
        plan.needed.append((recipe.target.model, id))
        said = hash(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS))
        if self._last_said.get(id) == said:
            return
        if len(self._last_said) >= _REMEMBERED:
            self._last_said.clear()
        self._last_said[id] = said
        do = self._checked(plan, values, recipe, id, key, payload)
        if do is None:
            values.failed.add(recipe.record.label)
            return
        plan.records.append(Planned(values.line.number, recipe, id, key, do))
        for name, model in recipe.target.references.items():
            referred = getattr(do, name)
            if isinstance(referred, UUID):
                plan.needed.append((model, referred))

    def _checked(
        self, plan: Plan, values: Values, recipe: Recipe, id: UUID, key: str, payload: dict[str, Any]
    ) -> Any:
        """The command's input; a field it refuses is reported and left out, if it can be."""
        label, line = recipe.record.label, values.line.number
        given: dict[str, Any] = {**payload, "id": str(id)}
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
                value = "" if lost and name not in payload else as_text(payload[name])
                plan.problems.append(Problem(line, label, field, value, refusal.message, done))
                if lost:
                    return None
                del given[name]
                _drop_halves(given, recipe.record.together)


def _groups(lines: Iterable[Line], column: str) -> Iterator[list[Line]]:
    """Neighbouring lines of one key. One that cannot be read may belong to the lines before it and to
    those after it, so it keeps them together."""
    group: list[Line] = []
    for line in lines:
        beside = group and (line.problem or group[-1].problem)
        if group and not beside and line.cells.get(column) != group[-1].cells.get(column):
            yield group
            group = []
        group.append(line)
    if group:
        yield group


def _payload(values: Values, recipe: Recipe) -> tuple[str, dict[str, Any]]:
    key = values.filled_template(recipe.record.key)
    if key is None:
        raise NotImportable(f"its key {recipe.record.key} has no value")
    payload = recipe.get(values)
    _drop_halves(payload, recipe.record.together)
    for name in sorted(recipe.required - payload.keys()):
        raise NotImportable(f"{name} is required and has no value")
    return key, payload


def _drop_halves(payload: dict[str, Any], together: list[list[str]]) -> None:
    for names in together:
        if not payload.keys() >= set(names):
            for name in names:
                payload.pop(name, None)


def _test(condition: Condition) -> Callable[[Values], bool]:
    name, wanted = condition.column, condition.filled
    if wanted is not None:
        return lambda values: (values.value(name) is not None) is wanted
    if condition.equals is not None:
        known = frozenset(condition.equals)
        return lambda values: _trimmed(values, name) in known
    pattern = re.compile(condition.matches or "")
    return lambda values: pattern.search(_trimmed(values, name)) is not None


def _trimmed(values: Values, name: str) -> str:
    raw = values.raw(name)
    return "" if raw is None else str(raw).strip()
