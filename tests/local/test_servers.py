"""The embedded broker and database are the real ones, and keep what they were given."""

import asyncpg
import nats


async def test_the_broker_keeps_its_messages_over_a_kill(nats_server):
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name="S", subjects=["s"])
    await client.jetstream().publish("s", b"kept")
    await client.close()
    nats_server.kill()
    nats_server.start()
    client = await nats.connect(nats_server.url)
    assert (await client.jetstream().get_msg("S", 1)).data == b"kept"
    await client.close()


async def test_the_database_is_postgresql_18_and_empty(database_url):
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    assert (await connection.fetchval("SHOW server_version")).startswith("18.")
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.close()


async def test_the_database_stops_and_starts_again(postgres_server, database_url):
    postgres_server.kill()
    postgres_server.start()
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
