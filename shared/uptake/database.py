"""How a service meets PostgreSQL: connections with time-outs, what an error means, migrations. Knows no table."""

import asyncio
from typing import Any

import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from uptake.settings import DatabaseSettings

_CONNECT_S = 5
_STATEMENT_MS = 30_000
_COMMAND_S = 35  # over the server's own limit: it is for a server that does not answer at all

# SQLSTATE classes and codes that a later attempt may not meet again.
_UNAVAILABLE = (
    "08",  # connection
    "53",  # out of connections, memory or disk
    "57",  # shutting down, starting up, statement time-out
    "58",  # input or output error
    "40",  # serialization failure, deadlock
    "55P03",  # a lock was not free in time
    "25P03",  # idle in a transaction for too long
    "25006",  # read only: a standby that is being promoted
)
_DATA = ("22", "23", "54")  # a value that cannot be stored, a constraint that it breaks, a text too long for a key


def engine(settings: DatabaseSettings, name: str = "uptake", **options: Any) -> AsyncEngine:
    """A pool of connections in UTC on which nothing waits for ever; `name` is what pg_stat_activity shows.

    `options` go to asyncpg over ours.
    """
    server = {
        "application_name": name,
        "timezone": "UTC",
        "jit": "off",  # compiling costs more than our short statements take
        "statement_timeout": str(_STATEMENT_MS),
        "idle_in_transaction_session_timeout": "60000",  # a hung process must not keep its locks
    }
    arguments = {"timeout": _CONNECT_S, "command_timeout": _COMMAND_S, "server_settings": server}
    return create_async_engine(
        make_url(settings.database_url.get_secret_value()),
        pool_pre_ping=True,
        hide_parameters=True,  # an error is logged: it must not say who it was about
        pool_timeout=_CONNECT_S,
        connect_args=arguments | options,
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether the same attempt can succeed later: connection, shutdown, time-out, serialization."""
    state = _sqlstate(error)
    if state is not None:
        return state.startswith(_UNAVAILABLE)
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, InterfaceError)
    return isinstance(error, OSError | asyncpg.InterfaceError | PoolTimeoutError)  # TimeoutError is an OSError


def is_data_error(error: BaseException) -> bool:
    """Whether the database refused the data itself: the same attempt fails again, a part of the batch may pass."""
    state = _sqlstate(error)
    if state is not None:
        return state.startswith(_DATA)
    return isinstance(error, UnicodeEncodeError | OverflowError)  # the driver's own, while it encodes a COPY


def _sqlstate(error: BaseException) -> str | None:
    """SQLAlchemy keeps the driver's error in `orig`; an error of a COPY comes from the driver directly."""
    source = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(source, "sqlstate", None)
    return str(state) if state is not None else None


def migrate(settings: DatabaseSettings, package: str, schema: str) -> None:
    """Bring `schema` to the newest revision of `<package>.migrations`, in one transaction.

    Two replicas may start at once: the second waits for the first and finds nothing to do.
    """
    asyncio.run(_migrate(settings, package, schema))


async def _migrate(settings: DatabaseSettings, package: str, schema: str) -> None:
    database = engine(settings, f"{schema}-migrate", command_timeout=None)  # a migration takes as long as it takes
    try:
        async with database.begin() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:schema, 0))")
            await connection.execute(lock, {"schema": f"uptake migrate {schema}"})
            await connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            await connection.run_sync(_upgrade, package, schema)
    finally:
        await database.dispose()


def _upgrade(connection: Connection, package: str, schema: str) -> None:
    # Only services that own a schema have alembic installed; ingestion reads this module without it.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    script = ScriptDirectory.from_config(config)

    def to_head(revision: Any, context: Any) -> Any:
        return script._upgrade_revs("head", revision)  # what alembic's own `upgrade` command calls

    with EnvironmentContext(config, script, fn=to_head, destination_rev="head") as environment:
        environment.configure(connection=connection, version_table_schema=schema)
        environment.run_migrations()
