"""All servers on a database have the same keys, from the first start on and through every rotation."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.auth.keys.servers import Clock, Stores
from tests.support.house import House
from tournee.auth.keys.models import Purpose, ServerKey
from tournee.auth.keys.store import PUBLISHED_BEFORE, KeyStore, purge_keys
from tournee.auth.keys.vault import UnusableSecret
from tournee.engine.border import BorderCrossed
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import now
from tournee.settings import Settings

OLD, NEW = "o" * 32, "n" * 32


async def rows(database: Database) -> list[ServerKey]:
    async with database.reading(ACROSS) as session:
        return list(await session.scalars(select(ServerKey)))


async def test_servers_that_start_together_on_an_empty_database_agree_on_one_key_each(
    database: Database, settings: Settings
) -> None:
    others = [Database(database.url) for _ in range(4)]
    try:
        found = await asyncio.gather(*(KeyStore(other, settings).read() for other in others * 3))
    finally:
        for other in others:
            await other.close()
    assert {frozenset(keys) for keys in found} == {frozenset(found[0])}
    assert sorted(key.purpose for key in found[0]) == sorted(Purpose)
    assert len(await rows(database)) == 2


def key_file(folder: Path, count: int) -> tuple[list[str], bytes]:
    """Write the file that older versions kept; return the names of its keys and the key of its cursors."""
    keys = [
        {"kid": f"key-{number}", "d": base64.urlsafe_b64encode(bytes([number] * 32)).rstrip(b"=").decode()}
        for number in range(count)
    ]
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    (folder / "keys.json").write_text(json.dumps({"secret": secret, "keys": keys}))
    return [key["kid"] for key in keys], hmac.digest(b"s" * 32, b"cursor", "sha256")


async def test_the_keys_of_an_older_version_are_taken_over_from_its_file(
    stores: Stores, tmp_path: Path
) -> None:
    names, cursors = key_file(tmp_path, 3)
    keys = {key.id: key for key in await stores().read()}
    assert keys.keys() >= set(names)
    assert [keys[name].secret for name in names] == [bytes([number] * 32) for number in range(3)]
    assert [key.secret for key in keys.values() if key.purpose is Purpose.CURSORS] == [cursors]
    assert keys["key-0"].ends_at is None
    for older in names[1:]:
        ends_at = keys[older].ends_at
        assert ends_at is not None
        assert timedelta(minutes=15) < ends_at - now() < timedelta(minutes=30)
    # Another server may have a file of its own: what the database has counts.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    key_file(elsewhere, 5)
    assert {key.id for key in await stores(directory=elsewhere).read()} == keys.keys()


async def test_a_rotation_publishes_the_new_key_and_keeps_the_old_ones_as_long_as_their_tokens(
    stores: Stores, clock: Clock, database: Database
) -> None:
    before = {key.id for key in await stores().read()}
    new = await stores(access_token_seconds=3600).rotate(Purpose.TOKENS)
    keys = {key.id: key for key in await stores().read()}
    assert keys.keys() == before | {new.id}
    assert new.used_from - now() > PUBLISHED_BEFORE - timedelta(minutes=1)
    (old,) = [key for key in keys.values() if key.purpose is Purpose.TOKENS and key != new]
    assert old.ends_at is not None
    assert old.ends_at - new.used_from >= timedelta(hours=1)
    clock.move(hours=1)
    await purge_keys(database)
    assert {key.id for key in await stores().read()} == keys.keys()
    clock.move(hours=1)
    await purge_keys(database)
    assert {key.id for key in await stores().read()} == keys.keys() - {old.id}


async def test_the_key_of_cursors_stays_as_long_as_a_cursor_may_be_used(stores: Stores) -> None:
    (old,) = [key for key in await stores().read() if key.purpose is Purpose.CURSORS]
    new = await stores(horizon_days=30).rotate(Purpose.CURSORS)
    kept = {key.id: key for key in await stores().read()}[old.id]
    assert kept.ends_at is not None
    assert kept.ends_at - new.used_from >= timedelta(days=30)
    await stores(horizon_days=2**31 - 1).rotate(Purpose.CURSORS)


async def test_keys_are_encrypted_in_the_database_as_soon_as_there_is_a_secret_key(
    stores: Stores, database: Database
) -> None:
    plain = await stores().read()
    assert {row.secret for row in await rows(database)} == {key.secret for key in plain}
    assert await stores(secret_key=(OLD,)).read() == plain
    new = await stores(secret_key=(OLD,)).rotate(Purpose.TOKENS)
    for row in await rows(database):
        assert not any(key.secret in row.secret for key in (*plain, new))
    for wrong in ((), (NEW,)):
        with pytest.raises(UnusableSecret, match="TOURNEE_SECRET_KEY: "):
            await stores(secret_key=wrong).read()
        with pytest.raises(UnusableSecret):
            await stores(secret_key=wrong).rotate(Purpose.TOKENS)
    known = await stores(secret_key=(NEW, OLD)).read()
    assert {key.secret for key in known} == {key.secret for key in (*plain, new)}
    assert await stores(secret_key=(NEW,)).read() == known
    with pytest.raises(UnusableSecret):
        await stores(secret_key=(OLD,)).read()


async def test_replacing_needs_no_secret_key_and_leaves_no_earlier_key(stores: Stores) -> None:
    before = await stores(secret_key=(OLD,)).read()
    made = await stores(secret_key=(NEW,)).replace()
    assert {key.id for key in made}.isdisjoint(key.id for key in before)
    assert await stores(secret_key=(NEW,)).read() == sorted(made, key=lambda key: (key.used_from, key.id))


async def test_a_session_of_one_organisation_does_not_reach_the_keys(
    house: House, stores: Stores, database: Database
) -> None:
    await stores().read()
    everything: Any = select(ServerKey.secret)
    async with database.reading(house.organisation_id) as session:
        with pytest.raises(BorderCrossed):
            await session.execute(everything)
