"""The embedded broker and database are the real ones, and keep what they were given."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import nats
import pytest

from uptake_local import broker


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


@pytest.fixture
def healthz() -> Iterator[tuple[int, dict[str, tuple[int, bytes]]]]:
    """A port, and what it answers there."""
    answers: dict[str, tuple[int, bytes]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port, answers
        server.shutdown()
        thread.join()


FULL = b'{"status":"unavailable","error":"JetStream stream USAGE write error: no space left on device"}'


@pytest.mark.parametrize(
    ("status", "body", "stuck"),
    [(200, b'{"status":"ok"}', False), (503, FULL, True), (503, b'{"error":"JetStream is not current"}', False)],
)
def test_a_broker_that_refuses_writes_for_good_says_so(healthz, tmp_path, status, body, stuck):
    port, answers = healthz
    answers["/healthz"] = status, body
    assert broker.is_stuck(tmp_path, port) is stuck


def test_a_broker_whose_disk_is_still_full_is_left_alone(healthz, tmp_path, monkeypatch):
    port, answers = healthz
    answers["/healthz"] = 503, FULL
    monkeypatch.setattr(broker, "_ROOM_BYTES", 2**60)
    assert broker.is_stuck(tmp_path, port) is False


def test_a_broker_that_is_away_is_not_stuck(tmp_path: Path, unused_tcp_port: int) -> None:
    assert broker.is_stuck(tmp_path, unused_tcp_port) is False


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
