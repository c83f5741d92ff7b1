import time

import pytest

from tournee_client import uuid7


def test_ids_are_version_seven_and_increase():
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(set(made))
    assert {(id.version, id.variant) for id in made} == {(7, "specified in RFC 4122")}
    assert abs((made[0].int >> 80) - time.time() * 1000) < 60_000


def test_ids_increase_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch):
    before = uuid7()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert uuid7() > before
