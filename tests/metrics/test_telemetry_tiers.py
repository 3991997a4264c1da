"""Heartbeats, pings and silence through one metrics process: facts in, what the board and the stream say of them."""

import importlib
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text

from uptake_metrics import worklist
from uptake_metrics.register import Register

TODAY = date(2026, 8, 25)
LAST = date(2026, 8, 24)


@pytest.fixture
def beats(fact):
    def beats(first, count, instance="i-1", every_min=60):
        start = datetime.fromisoformat(first)
        return [
            fact("instance.heartbeat", start + timedelta(minutes=every_min * n), instance=instance)
            for n in range(count)
        ]

    return beats


def mapped(fact, instance="i-1", account="acme", at="2026-01-01T00:00:00Z"):
    return fact("instance.mapped", at, instance=instance, account=account)


async def kpis(metrics, account="acme", day=LAST):
    (tallied,) = await metrics.tally.days(account, day, day)
    return metrics.evaluation.kpis(account, tallied)


async def marks(metrics):
    rows = await metrics.rows("SELECT subject, first_day FROM metrics.dirty WHERE subject LIKE 'account:%'")
    return dict(rows)


async def forget_marks(metrics):
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM metrics.dirty")


async def test_what_comes_every_minute_is_one_row_a_day(metrics, metrics_of, fact, beats):
    await metrics.learn(mapped(fact), *beats("2026-08-23T00:00:00+00:00", 3 * 1440, every_min=1))
    rows = "SELECT day, first_at, last_at FROM metrics.heartbeat ORDER BY day"
    kept = await metrics.rows(rows)
    assert [(day, first.hour, last.hour, last.minute) for day, first, last in kept] == [
        (date(2026, 8, n), 0, 23, 59) for n in (23, 24, 25)
    ]
    assert await metrics.rows("SELECT count(*) FROM metrics.fact") == [(1,)]
    await metrics.learn(*beats("2026-08-23T00:00:00+00:00", 1440, every_min=1))  # once more
    assert await metrics.rows(rows) == kept
    restarted, anew = metrics_of(), Register(metrics.engine, "UTC", metrics._reject, metrics.clock)
    await restarted.load()
    await anew.load()
    assert restarted.register.instances == anew.instances == metrics.register.instances


async def test_an_earlier_version_kept_each_heartbeat_as_a_fact(metrics, metrics_of, fact, beats):
    """What the migration makes of them is what they would have become."""
    said = [mapped(fact), *beats("2026-08-23T20:00:00+00:00", 9)]
    await metrics.learn(*said)
    rows = "SELECT instance, day, first_at, last_at, sequence FROM metrics.heartbeat ORDER BY day"
    expected, instances = await metrics.rows(rows), metrics.register.instances
    migration = importlib.import_module("uptake_metrics.migrations.versions.0003_instances")
    moving = [statement for statement in migration.STATEMENTS.split(";\n") if "metrics.fact" in statement]
    assert len(moving) == 2
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM metrics.heartbeat")
        for sequence, one in enumerate(said[1:], 2):
            body = one.model_dump_json(exclude_unset=True)
            await connection.execute(
                text("""
                    INSERT INTO metrics.fact (subject, sequence, type, body)
                    VALUES (:subject, :sequence, 'instance.heartbeat', CAST(:body AS jsonb))"""),
                {"subject": str(sequence), "sequence": sequence, "body": body},
            )
        for statement in moving:
            await connection.exec_driver_sql(statement)
    assert await metrics.rows(rows) == expected
    assert await metrics.rows("SELECT type FROM metrics.fact") == [("instance.mapped",)]
    restarted = metrics_of()
    await restarted.load()
    assert restarted.register.instances == instances


async def test_a_replica_follows_heartbeats_pings_and_mappings(metrics, metrics_of, fact, beats):
    other = metrics_of()
    await other.load()
    ping = fact("usage.ping", "2026-08-24T01:00:00Z", account="zeta", day="2026-08-23", mau=3)
    for facts, touched in (
        (beats("2026-08-23T00:00:00+00:00", 5), set()),  # nobody's yet
        ([mapped(fact), ping], {"acme", "zeta"}),
        (beats("2026-08-24T00:00:00+00:00", 5), {"acme"}),
    ):
        await metrics.learn(*facts)
        other.register.touched.clear()
        await other.load()
        assert other.register.instances == metrics.register.instances
        assert other.register.accounts == metrics.register.accounts
        assert other.register.touched == touched
    assert (await kpis(other)).last_contact == LAST
    assert other.board.knows("zeta")


async def test_an_installation_belongs_to_its_account_from_the_beginning(metrics, fact, beats):
    await metrics.learn(*beats("2026-08-10T00:00:00+00:00", 15, every_min=1440))
    assert (await kpis(metrics)).data_health == "none"
    await metrics.learn(mapped(fact, at="2026-08-25T10:00:00Z"))
    for day in (date(2026, 8, 10), LAST):
        found = await kpis(metrics, day=day)
        assert (found.data_health, found.last_contact, found.mau, found.reason) == ("fresh", day, 0, None)
    assert (await kpis(metrics, day=date(2026, 8, 9))).reason == "no_telemetry"
    assert (await marks(metrics))["account:acme"] == worklist.EVER
    await metrics.board.refresh()
    await forget_marks(metrics)
    await metrics.learn(mapped(fact, account="bolt", at="2026-08-25T11:00:00Z"))
    assert (await kpis(metrics)).data_health == "none"
    assert (await kpis(metrics, "bolt")).last_contact == LAST
    assert (await marks(metrics)) == {"account:acme": worklist.EVER, "account:bolt": worklist.EVER}
    assert metrics.register.touched >= {"acme", "bolt"}


async def test_silence_shows_on_the_board_and_in_the_stream_when_the_day_turns(metrics, fact, beats, clock):
    await metrics.learn(mapped(fact), *beats("2026-08-24T00:00:00+00:00", 37))  # until 12:00 of the 25th

    async def health():
        await metrics.publish()
        await metrics.board.refresh()
        line = metrics.board.lines["acme"].kpis
        rows = "SELECT body->'kpis'->>'data_health' FROM metrics.snapshot WHERE subject = 'account:acme' ORDER BY day"
        return line.data_health, [one for (one,) in await metrics.rows(rows)]

    assert await health() == ("fresh", ["fresh"])
    found = []
    for _ in range(3):
        clock.forward(days=1)
        found.append(await health())
    # At the end of the 27th the last heartbeat was 60 hours ago.
    assert found == [
        ("fresh", ["fresh"] * 2),
        ("fresh", ["fresh"] * 3),
        ("stale", ["fresh"] * 3 + ["stale"]),
    ]


async def test_a_late_heartbeat_changes_exactly_the_days_it_must(metrics, fact, beats, clock):
    await metrics.learn(mapped(fact), *beats("2026-08-18T00:00:00+00:00", 24))
    await metrics.publish()
    health = "SELECT day, max(revision) FROM metrics.snapshot WHERE subject = 'account:acme' GROUP BY day ORDER BY day"
    assert {day.day: revision for day, revision in await metrics.rows(health)} == dict.fromkeys(range(18, 25), 1)
    assert (await kpis(metrics)).data_health == "stale"
    await metrics.learn(*beats("2026-08-18T05:00:00+00:00", 1, every_min=1))
    await metrics.learn(*beats("2026-08-25T05:00:00+00:00", 1, every_min=1))
    assert await marks(metrics) == {}  # among others that are known; of an open day
    await metrics.learn(*beats("2026-08-21T05:00:00+00:00", 1, every_min=1))
    assert await marks(metrics) == {"account:acme": date(2026, 8, 21)}
    await metrics.publish()
    revised = {day.day: revision for day, revision in await metrics.rows(health)}
    assert revised == {18: 1, 19: 1, 20: 1, 21: 2, 22: 2, 23: 2, 24: 2}
    found = [(await kpis(metrics, day=date(2026, 8, n))).data_health for n in range(18, 25)]
    assert found == ["fresh"] * 2 + ["stale"] + ["fresh"] * 2 + ["stale"] * 2


async def test_pings_tell_adoption_and_no_usage(metrics, fact, clock):
    await metrics.learn(
        fact("account.updated", account="acme", telemetry="pings", production_date="2026-01-01"),
        fact("license.issued", account="acme", license="l", seats=40),
        fact("usage.ping", "2026-08-17T01:00:00Z", account="acme", day="2026-08-16", mau=30, registered=70),
    )
    found = {n: await kpis(metrics, day=date(2026, 8, n)) for n in (15, 16, 23, 24)}
    assert [one.adoption.value for one in found.values()] == [None, 0.75, 0.75, None]
    assert [one.reason for one in found.values()] == ["no_telemetry", *["no_daily_counts"] * 2, "no_recent_ping"]
    assert (found[23].ping_day, found[23].registered, found[23].usage.value) == (date(2026, 8, 16), 70, None)
    assert [one.data_health for one in found.values()] == ["none", "none", "fresh", "fresh"]
    await metrics.publish()
    await metrics.learn(fact("usage.ping", "2026-08-25T01:00:00Z", account="acme", day="2026-08-23", mau=33))
    assert await marks(metrics) == {"account:acme": date(2026, 8, 23)}
    await metrics.publish()
    revisions = {day.day: revision for day, revision in (await metrics.revisions("account:acme")).items()}
    assert revisions == dict.fromkeys(range(17, 23), 1) | {23: 2, 24: 2}


async def test_events_win_over_pings_for_the_same_day(metrics, fact, event):
    await metrics.learn(
        fact("account.updated", account="acme", telemetry="pings"),
        *(
            fact("usage.ping", f"2026-08-{n}T23:00:00Z", account="acme", day=f"2026-08-{n}", mau=30)
            for n in (22, 23, 24)
        ),
    )
    await metrics.count(event("acme", "ann", "2026-08-23"))
    found = [await kpis(metrics, day=date(2026, 8, n)) for n in (22, 23, 24)]
    assert [(one.source_of_counts, one.mau) for one in found] == [("pings", 30), ("events", 1), ("pings", 30)]
    await metrics.learn(fact("account.updated", "2026-08-24T00:00:00Z", account="acme", telemetry="full"))
    found = [await kpis(metrics, day=date(2026, 8, n)) for n in (22, 23, 24)]
    assert [(one.telemetry, one.source_of_counts) for one in found] == [
        ("pings", "pings"),
        ("pings", "events"),
        ("full", "events"),  # as long as one of the window was counted
    ]


async def test_an_account_that_only_pings_knows_of_is_an_account(metrics, fact):
    await metrics.learn(fact("usage.ping", "2026-08-24T01:00:00Z", account="acme", day="2026-08-23", mau=3))
    await metrics.board.refresh()
    line = metrics.board.lines["acme"].kpis
    assert (line.mau, line.source_of_counts, line.last_contact, line.data_health) == (3, "pings", LAST, "fresh")


async def test_a_heartbeat_of_another_age_does_no_harm(metrics, fact):
    await metrics.learn(
        mapped(fact),
        fact("instance.heartbeat", "0001-01-01T00:00:00Z", instance="i-1"),
        fact("instance.heartbeat", "9999-12-31T23:59:59Z", instance="i-1"),
        fact("usage.ping", "9999-12-31T23:59:59Z", account="acme", day="9999-12-31", mau=3),
        fact("usage.ping", "0001-01-01T00:00:00Z", account="acme", day="0001-01-01", mau=3),
    )
    assert (await kpis(metrics)).data_health == "none"
    await metrics.publish()
