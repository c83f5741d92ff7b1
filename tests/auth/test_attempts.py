"""Failed attempts: limited per window, counted before their outcome is known, bounded in memory."""

from __future__ import annotations

from typing import Any

import pytest

from tournee.auth import attempts
from tournee.auth.attempts import BY_ADDRESS, BY_NAME, Attempts, SignIns
from tournee.auth.failures import WINDOW, Failures

NOWHERE: Any = Failures(None)  # type: ignore[arg-type]


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(attempts, "monotonic", made)
    return made


def test_the_next_attempt_waits_until_the_first_leaves_the_window(clock: Clock) -> None:
    counted: Attempts[str] = Attempts(3)
    for _ in range(3):
        assert counted.wait("a") == 0
        counted.begin("a")
        clock.now += 10.0
    assert (counted.wait("a"), counted.wait("b")) == (WINDOW - 30 + 1, 0)
    clock.now = 1_000.0 + WINDOW - 0.5
    assert counted.wait("a") == 1
    clock.now = 1_000.0 + WINDOW
    assert counted.wait("a") == 0
    counted.begin("a")
    assert counted.wait("a") == 11


def test_only_the_successful_attempt_is_forgotten(clock: Clock) -> None:
    """A person with this e-mail elsewhere must not gain guesses by signing in there."""
    counted: Attempts[str] = Attempts(3)
    counted.begin("a")
    for _ in range(5):
        clock.now += 1.0
        counted.succeeded("a", counted.begin("a"))
    assert counted.wait("a") == 0
    for _ in range(2):
        clock.now += 1.0
        counted.begin("a")
    assert counted.wait("a") > 0
    counted.succeeded("b", 0.0)


def test_the_number_of_keys_is_bounded_and_the_oldest_is_dropped(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_MOST", 3)
    counted: Attempts[str] = Attempts(1)
    for key in ("a", "b", "c", "a", "d"):
        counted.begin(key)
    assert [key for key in "abcd" if counted.wait(key)] == ["a", "c", "d"]
    for key in "acd":
        counted.succeeded(key, clock.now)
    assert not counted._failures


def test_a_name_is_limited_per_address_and_an_address_for_every_name(clock: Clock) -> None:
    counted = SignIns(NOWHERE)
    for _ in range(BY_NAME):
        assert counted.wait("a", "192.0.2.1") == 0
        counted.begin("a", "192.0.2.1")
    assert counted.wait("a", "192.0.2.1") > 0
    assert counted.wait("a", "192.0.2.2") == counted.wait("b", "192.0.2.1") == 0
    for number in range(BY_ADDRESS - BY_NAME):
        assert counted.wait("b", "192.0.2.1") == 0
        counted.begin(str(number), "192.0.2.1")
    assert counted.wait("b", "192.0.2.1") > 0
    assert counted.wait("b", "192.0.2.2") == 0


def test_a_successful_sign_in_counts_nowhere(clock: Clock) -> None:
    counted = SignIns(NOWHERE)
    for _ in range(BY_ADDRESS + 1):
        counted.begin("a", "192.0.2.1").succeeded()
    assert counted.wait("a", "192.0.2.1") == 0


def test_the_addresses_of_one_ipv6_network_are_one_client(clock: Clock) -> None:
    counted = SignIns(NOWHERE)
    for number in range(BY_NAME):
        counted.begin("a", f"2001:db8:1:2:{number}::1")
    assert counted.wait("a", "2001:db8:1:2:ffff::1") > 0
    assert counted.wait("a", "2001:db8:1:3::1") == counted.wait("a", "unix socket") == 0
