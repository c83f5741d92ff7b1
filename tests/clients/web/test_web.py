"""Clients as their makers ship them, against the whole server on real sockets."""

from __future__ import annotations

import pytest

from tests.clients.web.story import TOLD, Story

pytestmark = pytest.mark.prove_on("postgresql", "The same clients tell the same story on SQLite.")


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("name", ["apollo", "urql", "relay", "graphql_ws", "graphql_sse"])
async def test_every_client_tells_the_same_story(told: Story, name: str) -> None:
    assert await told.play(f"{name}.mjs") == TOLD


@pytest.mark.prove("It generates and compiles for some seconds.")
@pytest.mark.usefixtures("generated")
async def test_a_program_with_generated_types_tells_it_too(told: Story) -> None:
    assert await told.play("../codegen/client.js") == TOLD
