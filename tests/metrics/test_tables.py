"""What the code says of its tables is what the migrations create."""

import asyncio

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr

from uptake import database
from uptake.settings import DatabaseSettings
from uptake_metrics.tables import SCHEMA, metadata


async def test_the_migrations_create_the_tables_as_they_are_described(database_url):
    settings = DatabaseSettings(database_url=SecretStr(database_url))
    for _ in range(2):  # a second time finds nothing to do
        await asyncio.to_thread(database.migrate, settings, "uptake_metrics", "metrics")
    engine = database.engine(settings)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def differences(connection):
    def of_metrics(name, kind, parents):
        return name == SCHEMA if kind == "schema" else name != "alembic_version"

    options = {
        "include_schemas": True,
        "include_name": of_metrics,
        "compare_type": True,
        "compare_server_default": True,
    }
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
