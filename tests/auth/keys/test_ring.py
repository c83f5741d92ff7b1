"""A process knows the keys that other processes made, and strangers cannot make it look for more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from operator import attrgetter

import httpx2
import jwt
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from tests.auth.keys.servers import Clock, Stores
from tests.support.house import House
from tests.support.signing_in import Form
from tests.support.tokens import forge
from tournee.auth.keys import ring as ring_module
from tournee.auth.keys.models import Purpose
from tournee.auth.keys.ring import KeyRing
from tournee.auth.keys.store import PUBLISHED_BEFORE, KeyStore
from tournee.auth.tokens import Tokens
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.actor import Actor
from tournee.kernel.errors import ResyncNeeded
from tournee.kernel.head import HeadNow
from tournee.settings import Settings
from tournee.sync.pull.cursor import Cursor, CursorCodec


@pytest_asyncio.fixture
async def ring(database: Database, settings: Settings) -> AsyncIterator[KeyRing]:
    made = KeyRing(database, settings)
    await made.ready()
    yield made
    await made.stop()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[KeyStore]:
    """Collect the store of each time that a ring reads the keys."""
    made: list[KeyStore] = []
    read = KeyStore.read

    async def counted(store: KeyStore) -> object:
        made.append(store)
        return await read(store)

    monkeypatch.setattr(KeyStore, "read", counted)
    return made


def names(ring: KeyRing) -> list[str]:
    return list(map(attrgetter("id"), ring.keys()))


async def test_a_new_key_is_published_first_then_signs_and_at_last_replaces_the_old_one(
    ring: KeyRing, stores: Stores, clock: Clock
) -> None:
    (old,) = names(ring)
    new = (await stores().rotate(Purpose.TOKENS)).id
    await ring.look()
    assert names(ring) == [old, new]
    assert [key["kid"] for key in ring.published()["keys"]] == [old, new]
    clock.passed = PUBLISHED_BEFORE + timedelta(seconds=1)
    assert names(ring) == [new, old]
    changes = ring.changes
    clock.move(hours=1)
    assert names(ring) == [new]
    assert ring.named(old) is None
    assert ring.changes > changes


async def test_a_token_of_another_process_is_accepted_without_a_restart(
    app: Starlette, house: House, whoami: Form, stores: Stores, database: Database, settings: Settings
) -> None:
    actor = await house.account("DISPATCHER")
    assert (await whoami(app.state.tokens.issue(actor))).status_code == 200
    await stores().replace()
    other = Tokens(settings, KeyRing(database, settings))
    await other.ring.ready()
    app.state.tokens.ring._looked_at -= ring_module.LEARN_SECONDS
    assert (await whoami(other.issue(actor))).status_code == 200


async def test_a_verified_token_ends_with_its_key(
    app: Starlette, house: House, whoami: Form, stores: Stores
) -> None:
    token = app.state.tokens.issue(await house.account("DISPATCHER"))
    assert (await whoami(token)).status_code == 200
    await stores().replace()
    await app.state.tokens.ring.look()
    assert (await whoami(token)).status_code == 401


async def test_random_key_names_make_a_process_read_once_in_a_while(
    app: Starlette, house: House, whoami: Form, reads: list[KeyStore]
) -> None:
    actor: Actor = await house.account("DISPATCHER")
    app.state.tokens.ring._looked_at -= ring_module.LEARN_SECONDS
    for number in range(20):
        answer = await whoami(forge(app, actor, kid=f"key-{number}"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "TOKEN_INVALID")
    assert len(reads) == 1


async def test_two_servers_publish_the_same_keys(
    client: httpx2.AsyncClient, database: Database, settings: Settings, stores: Stores, app: Starlette
) -> None:
    new = await stores().rotate(Purpose.TOKENS)
    await app.state.tokens.ring.look()
    other = KeyRing(database, settings)
    await other.ready()
    published = (await client.get("/.well-known/jwks.json")).json()
    assert published == other.published()
    assert new.id in {jwt.PyJWK(key).key_id for key in published["keys"]}


async def test_cursors_of_an_earlier_key_are_still_read(
    ring: KeyRing, house: House, stores: Stores, clock: Clock
) -> None:
    actor = await house.account("DISPATCHER")
    cursor = Cursor.at(HeadNow(house.organisation_id, 7, 0))
    text = CursorCodec(ring.cursor_keys).encode(cursor, actor)
    await stores(horizon_days=1).rotate(Purpose.CURSORS)
    await ring.look()
    clock.passed = PUBLISHED_BEFORE + timedelta(seconds=1)
    codec = CursorCodec(ring.cursor_keys)
    assert codec.encode(cursor, actor) != text
    assert codec.decode(text, actor) == cursor
    clock.move(days=2)
    with pytest.raises(ResyncNeeded):
        CursorCodec(ring.cursor_keys).decode(text, actor)


async def test_cursors_that_moved_here_are_read_and_none_is_signed_by_their_key(
    ring: KeyRing, house: House, stores: Stores, database: Database, clock: Clock, reads: list[KeyStore]
) -> None:
    actor = await house.account("DISPATCHER")
    cursor = Cursor.at(HeadNow(house.organisation_id, 7, 0))
    own = ring.cursor_keys()[0]
    foreign = b"f" * 32
    text = CursorCodec(lambda: (foreign,)).encode(cursor, actor)
    codec = CursorCodec(ring.cursor_keys, ring.learn_any)
    for _ in range(2):
        async with database.writing(ACROSS) as session:
            await stores(horizon_days=1).accept_cursors(session, [foreign])
            await session.commit()
    clock.move(days=0.5)
    ring._looked_at = -ring_module.LEARN_SECONDS
    reads.clear()
    assert await codec.open(text, actor) == cursor
    assert ring.cursor_keys()[0] == own
    assert ring.cursor_keys().count(foreign) == 1
    # A cursor of nobody's key is looked up once, and then not for a while.
    for _ in range(3):
        with pytest.raises(ResyncNeeded):
            await codec.open(CursorCodec(lambda: (b"n" * 32,)).encode(cursor, actor), actor)
    assert len(reads) == 1
    clock.move(days=1)
    with pytest.raises(ResyncNeeded):
        CursorCodec(ring.cursor_keys).decode(text, actor)


async def test_keys_in_memory_outlast_a_failure_to_read_them(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_store: KeyStore) -> None:
        raise OSError("away")

    before = names(ring)
    monkeypatch.setattr(KeyStore, "read", fail)
    with pytest.raises(OSError, match="away"):
        await ring.look()
    assert names(ring) == before
