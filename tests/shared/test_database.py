"""What errors mean and how migrations run, on a real PostgreSQL."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import database
from uptake.settings import DatabaseSettings


@pytest.fixture
def settings(database_url: str) -> DatabaseSettings:
    return DatabaseSettings(database_url=SecretStr(database_url))


@pytest.fixture
async def engine(settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    engine = database.engine(settings, "the-name")
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE t (small smallint, name text UNIQUE)"))
    yield engine
    await engine.dispose()


async def error_of(engine: AsyncEngine, statement: str, **values: Any) -> Exception:
    try:
        async with engine.begin() as connection:
            await connection.execute(text(statement), values)
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("statement", "values", "unavailable", "data"),
    [
        ("INSERT INTO t (name) VALUES (:v)", {"v": "a\0b"}, False, True),
        ("INSERT INTO t (name) VALUES (:v)", {"v": "\ud800"}, False, True),
        ("INSERT INTO t (small) VALUES (:v)", {"v": 2**70}, False, True),
        ("INSERT INTO t (small) VALUES (:v)", {"v": 2**20}, False, True),
        ("INSERT INTO t (small) VALUES (:v)", {"v": "one"}, False, True),
        ("INSERT INTO t (name) VALUES ('x'), ('x')", {}, False, True),
        ("SELECT 1/0", {}, False, True),
        ("SELECT nonsense", {}, False, False),
        ("SELECT pg_terminate_backend(pg_backend_pid())", {}, True, False),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$", {}, True, False),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$", {}, True, False),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53300'; END $$", {}, True, False),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57P03'; END $$", {}, True, False),
    ],
)
async def test_an_error_of_a_statement_is_read_by_its_code(
    engine: AsyncEngine, statement: str, values: dict[str, Any], unavailable: bool, data: bool
) -> None:
    error = await error_of(engine, statement, **values)
    assert (database.is_unavailable(error), database.is_data_error(error)) == (unavailable, data), repr(error)


@pytest.mark.parametrize("row", [(1, "a\0b"), (1, "\ud800"), (2**20, "a"), (2**70, "a")])
async def test_an_error_of_a_copy_is_a_data_error_too(engine: AsyncEngine, row: tuple[Any, Any]) -> None:
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        with pytest.raises(Exception) as caught:  # noqa: PT011  # which one it is, is the question
            await driver.copy_records_to_table("t", records=[row], columns=["small", "name"])
    assert database.is_data_error(caught.value), repr(caught.value)


async def test_a_statement_that_takes_too_long_is_ended(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SET statement_timeout = 20"))
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text("SELECT pg_sleep(10)"))
    assert database.is_unavailable(caught.value)


async def test_a_server_that_is_away_is_unavailable(settings: DatabaseSettings, free_port: Any) -> None:
    nowhere = DatabaseSettings(database_url=SecretStr(f"postgresql+asyncpg://u:p@127.0.0.1:{free_port()}/d"))
    engine = database.engine(nowhere)
    assert database.is_unavailable(await error_of(engine, "SELECT 1"))
    await engine.dispose()


@pytest.mark.parametrize(
    ("error", "unavailable"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (ValueError(), False),
        (RuntimeError(), False),
    ],
)
def test_errors_without_a_code(error: Exception, unavailable: bool) -> None:
    assert database.is_unavailable(error) is unavailable
    assert not database.is_data_error(error)


async def test_a_connection_has_a_name_a_zone_and_limits(engine: AsyncEngine) -> None:
    wanted = {
        "application_name": "the-name",
        "TimeZone": "UTC",
        "jit": "off",
        "statement_timeout": "30s",
        "idle_in_transaction_session_timeout": "1min",
    }
    async with engine.connect() as connection:
        found = {name: (await connection.execute(text(f'SHOW "{name}"'))).scalar_one() for name in wanted}
    assert found == wanted


REVISION = """
from alembic import op
revision, down_revision = "{number}", {parent}
def upgrade():
    op.execute("{statement}")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service with one migration, importable as `shop`."""
    versions = tmp_path / "shop" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "shop" / "__init__.py").touch()
    (versions / "1.py").write_text(
        REVISION.format(number=1, parent=None, statement="CREATE TABLE shop.a AS SELECT 1 FROM pg_sleep(0.2)")
    )
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("shop", None)
    return versions


async def tables(settings: DatabaseSettings) -> set[str]:
    engine = database.engine(settings)
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'")
        )
        names = set(found.scalars())
    await engine.dispose()
    return names


async def test_replicas_that_start_together_migrate_once(settings: DatabaseSettings, package: Path) -> None:
    await asyncio.gather(*(asyncio.to_thread(database.migrate, settings, "shop", "shop") for _ in range(3)))
    assert await tables(settings) == {"a", "alembic_version"}


async def test_a_migration_that_fails_leaves_nothing_half_done(settings: DatabaseSettings, package: Path) -> None:
    await asyncio.to_thread(database.migrate, settings, "shop", "shop")
    (package / "2.py").write_text(REVISION.format(number=2, parent='"1"', statement="CREATE TABLE shop.b (n int)"))
    (package / "3.py").write_text(REVISION.format(number=3, parent='"2"', statement="SELECT 1/0"))
    with pytest.raises(DBAPIError):
        await asyncio.to_thread(database.migrate, settings, "shop", "shop")
    assert await tables(settings) == {"a", "alembic_version"}
    (package / "3.py").unlink()
    await asyncio.to_thread(database.migrate, settings, "shop", "shop")
    assert await tables(settings) == {"a", "b", "alembic_version"}
