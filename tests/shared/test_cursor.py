"""The cursor's row is the fence between two writers: it moves only from where the mover believes it to be."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import cursor, database
from uptake.reader import Cursor, Fenced
from uptake.settings import DatabaseSettings

NEVER = Cursor(None, 0)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = database.engine(DatabaseSettings(database_url=SecretStr(database_url)))
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SCHEMA s"))
        await connection.execute(
            text(
                "CREATE TABLE s.cursor (name text PRIMARY KEY, stream_uuid text, sequence bigint NOT NULL,"
                " stored_at timestamptz)"
            )
        )
    yield engine
    await engine.dispose()


async def advance(engine: AsyncEngine, expected: Cursor, new: Cursor, name: str = "r") -> None:
    async with engine.begin() as connection:
        await cursor.advance(connection, "s", name, expected, new)


async def load(engine: AsyncEngine, name: str = "r") -> Cursor:
    async with engine.connect() as connection:
        return await cursor.load(connection, "s", name)


async def test_it_moves_from_never_and_on(engine: AsyncEngine) -> None:
    assert await load(engine) == NEVER
    await advance(engine, NEVER, Cursor("u", 5))
    await advance(engine, Cursor("u", 5), Cursor("u", 2**62))
    assert await load(engine) == Cursor("u", 2**62)
    assert await load(engine, "other") == NEVER


@pytest.mark.parametrize("believed", [NEVER, Cursor("u", 4), Cursor("u", 6), Cursor("other", 5), Cursor(None, 5)])
async def test_a_writer_that_believes_another_position_is_fenced(engine: AsyncEngine, believed: Cursor) -> None:
    await advance(engine, NEVER, Cursor("u", 5))
    with pytest.raises(Fenced):
        await advance(engine, believed, Cursor("u", 9))
    assert await load(engine) == Cursor("u", 5)


async def test_a_row_that_is_not_there_cannot_be_moved(engine: AsyncEngine) -> None:
    with pytest.raises(Fenced):
        await advance(engine, Cursor("u", 5), Cursor("u", 6))


@pytest.mark.parametrize("start", [NEVER, Cursor("u", 5)])
async def test_of_many_writers_at_once_one_wins(engine: AsyncEngine, start: Cursor) -> None:
    if start != NEVER:
        await advance(engine, NEVER, start)
    tries = [advance(engine, start, Cursor("u", 10 + number)) for number in range(8)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Fenced"] * 7 + ["NoneType"]
