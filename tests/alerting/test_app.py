"""The whole service with a real broker, a real PostgreSQL and a real receiver: snapshots in, one notice out."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from datetime import UTC, date, datetime, timedelta

import httpx2
import nats
import pytest
from pydantic import SecretStr

from uptake import subjects
from uptake.provision import provision
from uptake_alerting import app as service
from uptake_alerting.settings import AlertingSettings


@pytest.fixture
async def js(nats_server):
    client = await nats.connect(nats_server.url)
    await provision(client.jetstream())
    yield client.jetstream()
    await client.close()


@pytest.fixture
async def start(settings, nats_server, js, tmp_path):
    """Starts one more replica; an HTTP client of it."""
    configured = AlertingSettings(
        database_url=SecretStr(settings.database_url.get_secret_value()),
        nats_url=nats_server.url,
        config_dir=tmp_path / "config",
        tick_s=0.1,
        settle_s=0,
    )
    async with contextlib.AsyncExitStack() as stack:

        async def one_more():
            made = service.build(configured)
            await stack.enter_async_context(made.router.lifespan_context(made))
            transport = httpx2.ASGITransport(app=made)
            client = httpx2.AsyncClient(transport=transport, base_url="http://alerting", trust_env=False)
            return await stack.enter_async_context(client)

        yield one_more


@pytest.fixture
def to_receiver(tmp_path, receiver):
    def write():
        (tmp_path / "config").mkdir(exist_ok=True)
        channel = f"{{type: webhook, url: '{receiver.url}', allow_private: true}}"
        (tmp_path / "config" / "routes.yml").write_text(f"channels: {{ops: {channel}}}\ndefault: [ops]\n")

    return write


async def publish(js, *snapshots):
    for snapshot in snapshots:
        if hasattr(snapshot, "trial"):
            subject = subjects.kpi_trial(snapshot.trial.opportunity)
        else:
            subject = subjects.kpi_account(snapshot.account)
        await js.publish(subject, snapshot.model_dump_json().encode())


async def until(ask):
    """Waits until `ask` says so, 20 s at most."""
    async with asyncio.timeout(20):
        while True:
            found = await ask()
            if found:
                return found
            await asyncio.sleep(0.05)


def found_in(client, path="/api/v1/alerts", **params):
    async def ask():
        return (await client.get(path, params=params)).json()

    return ask


def bad_days(account_day, count=3, **other):
    return [account_day(date(2026, 4, 1 + i), **other) for i in range(count)]


async def test_every_snapshot_twice_over_two_replicas_makes_one_notice(start, js, account_day, receiver, to_receiver):
    to_receiver()
    first, second = await start(), await start()
    await publish(js, *bad_days(account_day), *bad_days(account_day))
    await receiver.arrived.wait()
    (alert,) = await until(found_in(first, state="firing"))
    await publish(js, *(account_day(date(2026, 4, 4 + i), 60) for i in range(3)))
    (alert,) = await until(found_in(second, state="resolved"))

    async def carried():
        detail = (await second.get(f"/api/v1/alerts/{alert['id']}")).json()
        return detail if [d["status"] for d in detail["deliveries"]] == ["delivered"] * 2 else None

    detail = await until(carried)
    assert [(d["kind"], d["attempts"]) for d in detail["deliveries"]] == [("trigger", 1), ("terminal", 1)]
    assert [json.loads(got.body)["kind"] for got in receiver.got] == ["trigger", "terminal"]
    kinds = [t["kind"] for t in detail["transitions"]]
    assert (kinds[0], kinds[-1]) == ("firing", "resolved")  # `updated` between, unless all three days came at once
    assert detail["fired_at"] == "2026-04-04T02:00:00Z"


async def test_a_zone_that_nobody_here_knows_stops_no_other_account(start, js, account_day):
    client = await start()
    days = bad_days(account_day)
    await publish(js, days[0])
    unknown = days[1].model_dump(mode="json")
    unknown["kpis"]["time_zone"] = "Mars/Phobos"
    await js.publish(subjects.kpi_account("acme"), json.dumps(unknown).encode())
    await publish(js, *days[1:])
    assert [a["subject"] for a in await until(found_in(client))] == ["acme"]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("routes.yml", "channels: {ops: {type: pigeon}}"),
        ("roster.yml", "people: [{name: ce-1, time_zone: Mars/Olympus}]"),
        ("rules.yml", ""),
    ],
)
async def test_who_begins_with_a_bad_file_judges_and_tells_nothing_until_it_is_mended(
    start, js, account_day, receiver, to_receiver, tmp_path, name, bad
):
    """What is shipped would tell others, by other rules."""
    to_receiver()
    file = tmp_path / "config" / name
    good = file.read_text() if file.exists() else None
    file.write_text(bad)
    client = await start()
    await publish(js, *bad_days(account_day))
    answer = await client.get("/readyz")
    assert (answer.status_code, f"{file}: line 1: " in answer.text) == (503, True)
    await asyncio.sleep(1)
    assert (await found_in(client)(), receiver.got) == ([], [])
    file.unlink() if good is None else file.write_text(good)
    await asyncio.wait_for(receiver.arrived.wait(), 20)
    assert [json.loads(got.body)["kind"] for got in receiver.got] == ["trigger"]


async def test_an_event_says_who_is_told_first_and_why(start, js, account_day, to_receiver):
    to_receiver()
    await start()
    await publish(js, *bad_days(account_day))

    async def fired():
        state = (await js.stream_info(subjects.ALERT, subjects_filter=">")).state
        name = next((name for name in state.subjects or {} if name.startswith("alert.v1.firing.")), None)
        return await js.get_last_msg(subjects.ALERT, name) if name else None

    data = json.loads((await until(fired)).data)["data"]
    assert data["why"][0] == "ce-1 owns the account: no channel reaches them"
    assert data["why"][-1] == "the default channels: told through ops"


async def test_a_trial_runs_over_while_nothing_is_said(start, js, trial):
    client = await start()
    soon = datetime.now(UTC).date() + timedelta(days=2)  # not yet begun anywhere
    await publish(js, trial(breached_on=soon, opportunity="later"), trial())
    (alert,) = await until(found_in(client, state="open"))
    assert (alert["subject"], alert["fired_at"]) == ("o1", "2026-02-23T23:00:00Z")


async def test_a_poison_snapshot_goes_to_refused_and_stops_nothing(start, js, account_day):
    client = await start()
    one, two, three = bad_days(account_day)
    await publish(js, one)
    await js.publish(subjects.kpi_account("acme"), b'{"account": 1}')
    await publish(js, two)
    await js.publish(subjects.kpi_trial("o1"), b"not json")
    nul = three.model_dump(mode="json") | {"name": "NUL\0", "account": "other"}
    await js.publish(subjects.kpi_account("other"), json.dumps(nul).encode())
    await publish(js, three)
    assert [a["subject"] for a in await until(found_in(client))] == ["acme"]

    async def refused():
        return (await js.stream_info(subjects.REFUSED)).state.messages == 3

    await until(refused)
    stored = await js.get_msg(subjects.REFUSED, 1)
    assert stored.subject == "refused.v1.metrics.invalid_snapshot"
    assert stored.headers["Nats-Msg-Id"] == "alerting-KPI-2"
    assert "ValidationError" in json.loads(stored.data)["detail"]


async def test_routes_that_appear_later_bring_the_notice(start, js, account_day, receiver, to_receiver, tmp_path):
    client = await start()
    assert "default: []" in (tmp_path / "config" / "routes.yml").read_text()
    await publish(js, *bad_days(account_day))

    async def undeliverable():
        return [alert for alert in await found_in(client)() if alert["undeliverable"]]

    await until(undeliverable)
    assert 'uptake_alerts_undeliverable{rule="adoption-below-target"} 1.0' in (await client.get("/metrics")).text
    to_receiver()
    await asyncio.wait_for(receiver.arrived.wait(), 20)
    (alert,) = (await client.get("/api/v1/alerts")).json()
    assert not alert["undeliverable"]


async def test_what_it_tells_about_itself(start, js, account_day, receiver, to_receiver):
    to_receiver()
    client = await start()
    await publish(js, *bad_days(account_day), *bad_days(account_day, count=1, account="other"))
    await receiver.arrived.wait()
    await until(found_in(client))

    async def ready():
        return (await client.get("/readyz")).status_code == 200

    await until(ready)

    wanted = [
        'uptake_alert_deliveries_total{channel_type="webhook",outcome="delivered",reason="ok"} 1.0',
        'uptake_alerts{rule="adoption-below-target",severity="warning",state="firing"} 1.0',
        'uptake_alerts{rule="adoption-below-target",severity="warning",state="pending"} 1.0',
        'uptake_alert_oldest_pending_seconds{outbox="channels"} 0.0',
        "uptake_alerting_reader_lag_messages 0.0",
    ]

    async def counted():
        text = (await client.get("/metrics")).text
        return text if all(line in text for line in wanted) else None

    text = await until(counted)
    for file in ("rules", "routes", "roster"):
        assert f'uptake_alerting_config_valid{{file="{file}"}} 1.0' in text
    for what in ("evaluation", "tick"):
        assert f'uptake_alerting_last_run_timestamp_seconds{{what="{what}"}} ' in text
    assert "acme" not in text


async def test_the_answers_of_its_doors(start):
    client = await start()
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/api/v1/alerts")).json() == []
    assert (await client.get("/api/v1/alerts/nothing")).json()["error"] == "unknown_alert"
    assert (await client.get("/docs")).status_code == 404
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {"/api/v1/alerts", "/api/v1/alerts/{alert_id}"} <= set(paths)


async def test_what_was_imported_is_never_searched_for_garbage(start):
    gc.unfreeze()
    await start()
    assert gc.get_freeze_count() > 10_000


async def test_a_file_with_an_error_does_not_stop_the_service(start, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "routes.yml").write_text("channels: [\n")
    client = await start()
    assert (await client.get("/healthz")).status_code == 200

    async def told():
        return 'uptake_alerting_config_valid{file="routes"} 0.0' in (await client.get("/metrics")).text

    await until(told)


async def test_the_process_migrates_serves_and_ends_cleanly(database_url, nats_server, js, free_port, tmp_path):
    port = free_port()
    environment = os.environ | {
        "UPTAKE_DATABASE_URL": database_url,
        "UPTAKE_NATS_URL": nats_server.url,
        "UPTAKE_HTTP_PORT": str(port),
        "UPTAKE_CONFIG_DIR": str(tmp_path / "config"),
        "UPTAKE_LOG_FORMAT": "json",
    }

    async def process(*arguments):
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "uptake_alerting.app", *arguments, env=environment, stdout=asyncio.subprocess.PIPE
        )

    migrations = [await process("migrate") for _ in range(2)]
    await asyncio.gather(*(one.communicate() for one in migrations))
    assert [one.returncode for one in migrations] == [0, 0]
    running = await process()
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def ready():
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx2.TransportError:
                return False

        await until(ready)
    running.send_signal(signal.SIGTERM)
    output, _ = await asyncio.wait_for(running.communicate(), 15)
    assert running.returncode == 0
    assert [line for line in output.splitlines() if json.loads(line)["level"] not in ("info",)] == []
    assert database_url.encode() not in output


async def test_a_missing_setting_is_named(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("UPTAKE_")}
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uptake_alerting.app", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, told = await running.communicate()
    assert running.returncode == 2
    assert b"UPTAKE_DATABASE_URL" in told
