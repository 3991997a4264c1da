"""`/api/v1/instances`: every installation once, those that wait for an account first."""

from datetime import timedelta

import pytest

from uptake_metrics import installations


@pytest.fixture
async def heard(metrics, event, fact):
    """One with usage and no account, one with heartbeats only, and one that is mapped."""
    await metrics.count(
        event("", "ann", "2026-08-20", instance="i-2"),
        event("", "bob", "2026-08-21", instance="i-2"),
        event("", "ann", "2026-08-22", instance="=i-1"),
    )
    await metrics.learn(
        fact("instance.heartbeat", "2026-08-23T07:00:00Z", instance="i-3"),
        fact("instance.heartbeat", "2026-08-24T07:00:00Z", instance="i-3"),
        fact("instance.mapped", instance="=i-1", account="acme", environment="trial"),
    )


async def test_whose_each_is_and_what_of_it_waits(metrics, asking, heard):
    async with asking(metrics) as ask:
        status, found = await ask("/api/v1/instances")
        assert status == 200
        assert [line["instance"] for line in found] == ["i-2", "i-3", "=i-1"]
        usage, alive, mapped = found
        assert (usage["account"], usage["environment"], usage["waiting_events"]) == (None, None, 2)
        assert (usage["first_seen"], usage["last_contact"]) == ("2026-08-20T12:00:00Z", "2026-08-21T12:00:00Z")
        assert usage["waiting_since"] is not None
        assert (alive["first_seen"], alive["last_contact"]) == ("2026-08-23T07:00:00Z", "2026-08-24T07:00:00Z")
        assert (alive["waiting_events"], alive["waiting_since"]) == (0, None)
        assert (mapped["account"], mapped["environment"], mapped["waiting_events"]) == ("acme", "trial", 1)
        status, text = await ask("/api/v1/instances", format="csv")
        assert text.splitlines()[0].startswith("instance,account,environment,first_seen")
        assert text.splitlines()[3].startswith("'=i-1,acme,trial")


async def test_who_waits_for_more_than_a_day(metrics, heard, clock):
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE metrics.unattributed_usage SET stored_at = '2026-08-24T13:00:00Z'")

    async def late():
        lines = await installations.lines(metrics.engine, metrics.register)
        return [line.instance for line in installations.unattributed(lines, clock())]

    assert clock().isoformat() == "2026-08-25T12:00:00+00:00"
    assert await late() == ["i-3"]
    clock.forward(hours=1)
    assert await late() == ["i-3"]
    clock.now += timedelta(seconds=1)
    assert await late() == ["i-2", "i-3"]


async def test_of_what_was_given_the_span_stays_known(metrics, heard, asking):
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql(
            "INSERT INTO metrics.attribution VALUES ('=i-1', 'acme', 'trial', 0, '2025-01-01Z', '2025-02-01Z')"
        )
        await connection.exec_driver_sql("DELETE FROM metrics.unattributed_usage")
    async with asking(metrics) as ask:
        line = (await ask("/api/v1/instances"))[1][-1]
        assert (line["first_seen"], line["last_contact"]) == ("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z")
