"""Signing in over HTTP, on the whole server."""

from __future__ import annotations

import asyncio
from collections import Counter
from urllib.parse import urlencode
from uuid import uuid4

import httpx2
import pytest
from starlette.applications import Starlette

from tests.support.house import House
from tests.support.serving import saturated
from tests.support.signing_in import PASSWORD, Form
from tournee.auth import passwords
from tournee.kernel.actor import Actor


async def test_a_password_gives_tokens_that_identify_the_account(
    technician: Actor, email: str, sign_in: Form, whoami: Form
) -> None:
    device = uuid4()
    answer = await sign_in(email.upper(), device=device, device_name="Demo tablet")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 900
    who = (await whoami(body["access_token"])).json()
    assert who == {"id": str(technician.id), "role": "TECHNICIAN", "device": str(device)}


async def test_unknown_disabled_and_wrong_password_get_the_same_answer(
    house: House, technician: Actor, email: str, sign_in: Form
) -> None:
    wrong = await sign_in(email, "another password")
    unknown = await sign_in("nobody@demo.example")
    await house.run("disableAccount", accountId=technician.id)
    disabled = await sign_in(email)
    without = await house.account("TECHNICIAN", email="new-" + email)
    assert without
    never = await sign_in("new-" + email)
    assert wrong.status_code == 400
    assert wrong.json()["error"] == "invalid_grant"
    assert wrong.content == unknown.content == disabled.content == never.content


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "password", "username": "a@demo.example"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "é€"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "made up"}, "invalid_grant"),
        (
            {"grant_type": "password", "username": "a", "password": "b", "device": "no uuid"},
            "invalid_request",
        ),
        ({"grant_type": "password", "username": "a\0", "password": "b"}, "invalid_request"),
        ({"grant_type": "password", "username": "a", "password": "b" * 5000}, "invalid_request"),
    ],
)
async def test_an_unanswerable_form_is_refused_with_the_oauth_error(
    client: httpx2.AsyncClient, form: dict[str, str], error: str
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/auth/token", content=urlencode(form), headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["Cache-Control"] == "no-store"


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", ["/auth/token", "/auth/wiped"])
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b'{"grant_type": "password"}'),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="grant_type"'),
        ("multipart/form-data", b"grant_type=password"),
        ("", b"grant_type=password"),
        (FORM, b""),
        (FORM, b"&".join(b"field%d=1" % number for number in range(21))),
        (FORM, b"grant_type=password&username=%ff&password=x"),
        (FORM, b"grant_type=password&username=\xff&password=x"),
        (FORM, "grant_type=password&username=ä&password=x".encode("utf-16")),
        (FORM, b"grant_type=password&username=%ed%a0%80&password=x"),
        (FORM, b"grant_type=password&username=a&password=" + b"%20" * 20_000),
        (FORM, b"grant_type=refresh_token&refresh_token=a&refresh_token=b"),
    ],
    ids=range(12),
)
async def test_a_malformed_form_is_refused_with_the_oauth_error(
    client: httpx2.AsyncClient, path: str, kind: str, content: bytes
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = await client.post(path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["error_description"]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_a_form_may_have_twenty_parameters(
    client: httpx2.AsyncClient, technician: Actor, email: str
) -> None:
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    form |= {f"field{number}": "" for number in range(17)}
    assert (await client.post("/auth/token", data=form)).status_code == 200


async def test_a_repeated_parameter_is_refused(client: httpx2.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/auth/token", content="grant_type=password&grant_type=x", headers=headers)
    assert answer.json()["error"] == "invalid_request"


async def test_a_stale_token_in_the_header_is_ignored(
    client: httpx2.AsyncClient, technician: Actor, email: str
) -> None:
    form = {"grant_type": "password", "username": email, "password": PASSWORD}
    answer = await client.post("/auth/token", data=form, headers={"Authorization": "Bearer stale"})
    assert answer.status_code == 200


async def test_a_name_must_wait_after_ten_failures(
    technician: Actor, email: str, sign_in: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no(_password: str, hashes: list[str | None]) -> list[bool]:
        return [False for _ in hashes]

    with monkeypatch.context() as quick:
        quick.setattr("tournee.auth.matching.which_fit", no)
        for _ in range(10):
            assert (await sign_in(email, "guess")).status_code == 400
    waiting = await sign_in(email)
    assert waiting.status_code == 429
    assert 0 < int(waiting.headers["Retry-After"]) <= 301


async def test_parallel_guesses_are_limited_like_sequential_ones(
    technician: Actor, email: str, sign_in: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow_no(_password: str, hashes: list[str | None]) -> list[bool]:
        await asyncio.sleep(0.05)
        return [False for _ in hashes]

    with monkeypatch.context() as quick:
        quick.setattr("tournee.auth.matching.which_fit", slow_no)
        answers = await asyncio.gather(*(sign_in(email, "guess") for _ in range(25)))
    assert sorted(answer.status_code for answer in answers) == [400] * 10 + [429] * 15


async def test_successful_sign_ins_never_cause_a_wait(technician: Actor, email: str, sign_in: Form) -> None:
    for _ in range(120):
        assert (await sign_in(email)).status_code == 200


async def test_signing_in_enrols_the_device_once_and_logs_it(
    house: House, technician: Actor, email: str, sign_in: Form
) -> None:
    device = uuid4()
    await sign_in(email, device=device, device_name="Demo tablet")
    await sign_in(email, device=device, device_name="Demo tablet")
    log = await house.changes(device)
    assert [(change.command, change.actor_id, change.device_id) for change in log] == [
        ("enrolDevice", technician.id, device)
    ]


async def test_a_device_of_another_account_is_refused(
    house: House, technician: Actor, email: str, sign_in: Form
) -> None:
    device = uuid4()
    await sign_in(email, device=device)
    await house.account("TECHNICIAN", email="b" + email, password=PASSWORD)
    answer = await sign_in("b" + email, device=device)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert answer.json()["code"] == "DEVICE_MISMATCH"


async def test_excess_sign_ins_get_retry_after_and_renewals_get_through(
    app: Starlette, technician: Actor, email: str, sign_in: Form, renew: Form
) -> None:
    granted = await sign_in(email)
    async with saturated(app.state.lanes.sign_ins):
        refused = await sign_in(email)
        granted = await renew(granted)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "OVERLOADED")
    assert 5 <= int(refused.headers["Retry-After"]) <= 30
    async with saturated(app.state.lanes.renewals):
        refused = await renew(granted)
    assert (refused.status_code, granted.status_code) == (503, 200)
    assert (await renew(granted)).status_code == 200


async def test_a_sign_in_turned_away_is_not_a_failure(
    app: Starlette, technician: Actor, email: str, sign_in: Form
) -> None:
    async with saturated(app.state.lanes.sign_ins):
        assert {(await sign_in(email)).status_code for _ in range(20)} == {503}
    assert (await sign_in(email)).status_code == 200


async def test_only_a_few_passwords_are_hashed_at_a_time(
    technician: Actor, email: str, sign_in: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    comparing = most = 0

    async def slow_yes(_password: str, hashes: list[str | None]) -> list[bool]:
        nonlocal comparing, most
        comparing += 1
        most = max(most, comparing)
        await asyncio.sleep(0.01)
        comparing -= 1
        return [True for _ in hashes]

    monkeypatch.setattr("tournee.auth.matching.which_fit", slow_yes)
    answers = await asyncio.gather(*(sign_in(email) for _ in range(60)))
    assert most == passwords.AT_ONCE
    told = Counter(answer.status_code for answer in answers)
    assert told.keys() == {200, 503}
    assert told[200] >= 40


async def test_retry_after_spreads_a_crowd_from_the_first_sign_in(app: Starlette, sign_in: Form) -> None:
    """Before the first sign-in ends, the pace is estimated from the cost of one password."""
    async with saturated(app.state.lanes.sign_ins):
        told = [int((await sign_in("nobody@demo.example")).headers["Retry-After"]) for _ in range(300)]
    assert max(told[:50]) <= 40
    assert min(told[-50:]) > 40
