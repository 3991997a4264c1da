"""The tables in the code are the tables that the migrations make."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from uptake_alerting.tables import SCHEMA, metadata


async def test_the_migrated_schema_is_what_the_code_describes(engine):
    def differences(connection):
        options = {
            "compare_type": True,
            "include_schemas": True,
            "include_name": lambda name, kind, parents: kind != "schema" or name == SCHEMA,
            "include_object": lambda thing, name, kind, reflected, other: name != "alembic_version",
        }
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
