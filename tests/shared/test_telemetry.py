"""What operators and Prometheus see; and what nobody may see."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

import pytest
import stamina
import structlog
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.testclient import TestClient

from uptake.telemetry import REGISTRY, Health, configure_logging, routes


def client(
    health: Health, registry: CollectorRegistry = REGISTRY, extra: Callable[[], Awaitable[bytes]] | None = None
) -> TestClient:
    return TestClient(Starlette(routes=routes(health, registry, extra)))


async def never() -> str | None:
    await asyncio.sleep(60)
    return None


async def fine() -> str | None:
    return None


def broken() -> str | None:
    raise RuntimeError("secret")


@pytest.mark.parametrize(
    ("checks", "not_ready"),
    [
        ({}, {}),
        ({"reader": lambda: None, "broker": fine}, {}),
        ({"reader": lambda: "USAGE: rolled back", "broker": fine}, {"reader": "USAGE: rolled back"}),
        ({"broker": never}, {"broker": "the check failed: TimeoutError"}),
        ({"broker": broken}, {"broker": "the check failed: RuntimeError"}),
    ],
)
def test_ready_names_what_is_not(checks: dict[str, Callable[[], str | None]], not_ready: dict[str, str]) -> None:
    health = Health()
    for name, check in checks.items():
        health.add(name, check)
    answer = client(health).get("/readyz")
    assert answer.status_code == (503 if not_ready else 200)
    assert answer.json() == {"ready": not not_ready, "not_ready": not_ready}
    assert client(health).get("/healthz").status_code == 200


def test_metrics_hold_the_process_and_what_the_service_adds() -> None:
    async def gauges() -> list[bytes]:
        return [b'uptake_account_mau{account="acme"} 20\n', b"", b'uptake_account_mau{account="b"} 1\n']

    answer = client(Health(), extra=gauges).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "process_resident_memory_bytes" in answer.text
    assert "python_gc_collections_total" in answer.text
    assert answer.text.endswith('uptake_account_mau{account="acme"} 20\nuptake_account_mau{account="b"} 1\n')


def test_metrics_tell_what_ready_tells() -> None:
    health = Health()
    health.add("broker", lambda: None)
    health.add("reader", lambda: "USAGE: rolled back")
    text = client(health).get("/metrics").text
    assert 'uptake_ready{check="broker"} 1.0\nuptake_ready{check="reader"} 0.0\n' in text
    assert "rolled back" not in text


def test_counters_have_no_second_series() -> None:
    registry = CollectorRegistry()
    Counter("accepted", "x", registry=registry).inc()
    text = client(Health(), registry).get("/metrics").text
    assert "accepted_total 1.0" in text
    assert "_created" not in text


def fail_with_a_secret() -> None:
    password = "hunter2"
    raise RuntimeError(len(password))


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_shows_no_variables(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logging("test", log_format)  # type: ignore[arg-type]  # a plain str from the table
    try:
        fail_with_a_secret()
    except RuntimeError:
        structlog.get_logger().exception("it failed")
    shown = capsys.readouterr().out
    assert "fail_with_a_secret" in shown
    assert shown.count("hunter2") == (1 if 'password = "hunter2"' in shown else 0)


def test_what_libraries_log_becomes_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", "json")
    logging.getLogger("nats.aio.client").warning("lost %s", "connection")
    line = json.loads(capsys.readouterr().out)
    assert line | {"timestamp": ""} == {
        "event": "lost connection",
        "level": "warning",
        "logger": "nats.aio.client",
        "service": "test",
        "timestamp": "",
    }


def test_a_retry_is_logged_without_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("test", "json")
    tries: list[str] = []

    @stamina.retry(on=OSError, attempts=2, wait_initial=0.001, wait_max=0.001, wait_jitter=0)
    def post(url: str) -> None:
        tries.append(url)
        if len(tries) == 1:
            raise OSError(url)

    post("https://hook/hunter2")
    shown = capsys.readouterr().out
    assert '"error": "OSError"' in shown
    assert "hunter2" not in shown
