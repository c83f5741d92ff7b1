"""A manager who can send any bytes to the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from sqlalchemy import func, select

from tests.support.house import House
from tournee.customers.models import Customer
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id

Bearer = Callable[[Actor], dict[str, str]]


@dataclass
class Desk:
    """A manager with a device, who can send any bytes to the server."""

    house: House
    client: httpx2.AsyncClient
    headers: dict[str, str]
    device: str
    number: int = 0

    def operation(self, **changed: Any) -> dict[str, Any]:
        self.number += 1
        made = {
            "id": str(new_id()),
            "number": self.number,
            "command": "createCustomer",
            "input": {"name": "Demo"},
            "base": 0,
            "occurredAt": "2026-11-23T09:12:00Z",
        }
        return {name: value for name, value in (made | changed).items() if value is not ...}

    async def send(self, body: bytes | str) -> httpx2.Response:
        content = body.encode() if isinstance(body, str) else body
        answer = await self.client.post("/sync/push", content=content, headers=self.headers)
        assert answer.status_code < 500, answer.text
        return answer

    async def push(self, *operations: Any, **envelope: Any) -> list[dict[str, Any]]:
        body = {"device": self.device, "app": "attack/1", "schema": 1, "operations": list(operations)}
        answer = await self.send(json.dumps(body | envelope))
        assert answer.status_code == 200, answer.text
        outcomes: list[dict[str, Any]] = answer.json()["outcomes"]
        assert len(outcomes) == len(operations)
        return outcomes

    async def pull(self, **parameters: Any) -> httpx2.Response:
        answer = await self.client.get("/sync/pull", params=parameters, headers=self.headers)
        assert answer.status_code < 500, answer.text
        return answer

    async def customers(self) -> int:
        async with self.house.reading() as session:
            own = Customer.organisation_id == self.house.organisation_id
            return await session.scalar(select(func.count()).select_from(Customer).where(own)) or 0


def code(answer: httpx2.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["message"]
    return answer.status_code, error["code"]
