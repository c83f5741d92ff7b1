import time
from pathlib import Path

import pytest

from tournee_client import ids, new_id, uuid7
from tournee_client.outbox import Draft
from tournee_client.store import Store


def test_ids_are_uuid7_and_increase():
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert {(id.version, id.variant) for id in made} == {(7, "specified in RFC 4122")}
    assert abs((made[0].int >> 80) - time.time() * 1000) < 60_000


def test_ids_increase_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch):
    before = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert uuid7() > before


def test_a_stores_ids_increase_after_a_restart_with_the_clock_set_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def started_at(seconds: int) -> Store:
        monkeypatch.setattr(ids, "_ticks", ids._Ticks())
        monkeypatch.setattr(time, "time_ns", lambda: seconds * 1_000_000_000)
        return Store(tmp_path / "store")

    made = []
    for start in (2_000_000_000, 1_000_000_000, 1_500_000_000):
        store = started_at(start)
        made.append(new_id())
        store.outbox.add([Draft(made[-1], "addNote", {}, "2026-11-24T08:00:00Z")], None)
        store.close()
    assert made == sorted(set(made))
