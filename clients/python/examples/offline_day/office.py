"""An office account that signs in with a password and works through GraphQL."""

from __future__ import annotations

from typing import Any

import httpx2

Row = dict[str, Any]

PASSWORD = "demo"  # noqa: S105 - the demo organisation's, which is served to this machine alone


class Refused(Exception):
    """The server refused something that the day depends on."""


class Office:
    """One account's GraphQL connection to the server."""

    def __init__(self, base_url: str, http: httpx2.AsyncClient) -> None:
        self._base = base_url.rstrip("/")
        self._http = http
        self._headers: dict[str, str] = {}
        self.account_id = ""
        self.email = ""

    async def sign_in(self, email: str) -> None:
        """Sign in with this e-mail address."""
        form = {"grant_type": "password", "username": email, "password": PASSWORD}
        answer = await self._http.post(f"{self._base}/auth/token", data=form)
        if answer.status_code != 200:
            raise Refused(f"{email} cannot sign in at {self._base}: {answer.text}")
        self._headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        self.email = email
        self.account_id = (await self.ask("{ me { accountId } }"))["me"]["accountId"]

    async def ask(self, document: str, **variables: Any) -> Row:
        """Run a GraphQL operation and return its data; raise Refused for errors."""
        body = {"query": document, "variables": variables}
        answer = await self._http.post(f"{self._base}/graphql", json=body, headers=self._headers)
        said: Row = answer.json()
        if answer.status_code != 200 or said.get("errors"):
            raise Refused(f"{answer.status_code}: {said.get('errors') or said}")
        data: Row = said["data"]
        return data

    async def rows(self, field: str, columns: str, **arguments: Any) -> list[Row]:
        """Return the rows of a list, `rows("sites", "id name", filter={…})`."""
        entity = arguments.pop("of")
        types = {"filter": f"{entity}Filter", "orderBy": f"[{entity}Order!]", "first": "Int"}
        declared = ", ".join(f"${name}: {types[name]}" for name in arguments)
        passed = ", ".join(f"{name}: ${name}" for name in arguments)
        document = f"query Rows({declared}) {{ {field}({passed}) {{ nodes {{ {columns} }} }} }}"
        found: list[Row] = (await self.ask(document, **arguments))[field]["nodes"]
        return found

    async def do(self, command: str, **values: Any) -> str:
        """Carry out a command and return the id of its record."""
        kind = f"{command[0].upper()}{command[1:]}Input"
        document = (
            f"mutation Do($input: {kind}!) {{ done: {command}(input: $input) "
            "{ __typename ... on Node { id } ... on Refusal { code message field } } }"
        )
        done = (await self.ask(document, input=values))["done"]
        if done["__typename"] == "Refusal":
            raise Refused(f"{command}: {done['code']} {done['message']} {done['field'] or ''}")
        return str(done["id"])
