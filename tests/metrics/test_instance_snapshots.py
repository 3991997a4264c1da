"""What waits for an account is published once, and once more when it has one; what never waited is not."""

from datetime import UTC, datetime

import pytest

from uptake.messages.kpi import InstanceSnapshot
from uptake_metrics import installations, instance_snapshots


@pytest.fixture
def published(metrics, clock):
    """Looks at all installations twice, and returns what was published of them by now."""

    async def published():
        await metrics.load()
        for _ in range(2):
            lines = await installations.lines(metrics.engine, metrics.register)
            async with metrics.engine.begin() as connection:
                await instance_snapshots.publish(connection, lines, clock())
        rows = await metrics.rows("SELECT body FROM metrics.snapshot WHERE subject LIKE 'instance:%' ORDER BY revision")
        return [InstanceSnapshot.model_validate(body) for (body,) in rows]

    return published


async def test_an_installation_is_told_of_until_it_has_an_account(metrics, fact, published):
    await metrics.learn(fact("instance.heartbeat", "2026-08-23T07:00:00Z", instance="i-1"))
    (waiting,) = await published()
    assert (waiting.instance, waiting.account, waiting.revision) == ("i-1", None, 1)
    assert waiting.since == datetime(2026, 8, 23, 7, tzinfo=UTC)
    await metrics.learn(fact("instance.heartbeat", "2026-08-24T07:00:00Z", instance="i-1"))
    assert await published() == [waiting]
    await metrics.learn(fact("instance.mapped", instance="i-1", account="acme"))
    _, mapped = await published()
    assert (mapped.account, mapped.since, mapped.revision) == ("acme", waiting.since, 2)


async def test_one_that_was_mapped_from_the_start_never_waited(metrics, fact, published):
    await metrics.learn(
        fact("instance.mapped", instance="i-1", account="acme"),
        fact("instance.heartbeat", "2026-08-23T07:00:00Z", instance="i-1"),
    )
    assert await published() == []


async def test_usage_that_names_an_unknown_installation_is_told_of_too(metrics, event, published):
    await metrics.count(event("", "ann", "2026-08-20", instance="i-2"))
    (waiting,) = await published()
    assert (waiting.instance, waiting.account) == ("i-2", None)
