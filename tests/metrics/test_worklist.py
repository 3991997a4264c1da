"""The work that no crash forgets: what is due, what an import holds, and what is struck off."""

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from uptake_metrics import worklist
from uptake_metrics.worklist import Work

ACME, TRIAL = worklist.account("acme"), worklist.trial("opp-1")
DAY = date(2026, 8, 3)
NOW = datetime(2026, 8, 25, 12, tzinfo=UTC)


@pytest.fixture
def work(engine):
    """Runs one function of the worklist in a transaction of its own."""

    async def work(function, *arguments):
        async with engine.begin() as connection:
            return await function(connection, *arguments)

    return work


@pytest.fixture
def job(engine):
    async def job(import_id, usage_sequence=None):
        async with engine.begin() as connection:
            await connection.execute(
                text("""
                    INSERT INTO metrics.import_job (import_id, source, reason, started_at, usage_sequence)
                    VALUES (:id, 'local', 'test', now(), :sequence)
                    ON CONFLICT (import_id) DO UPDATE SET usage_sequence = :sequence"""),
                {"id": import_id, "sequence": usage_sequence},
            )

    return job


async def test_a_subject_is_one_work_from_its_earliest_day(work):
    for day in (DAY, DAY - timedelta(days=4), DAY + timedelta(days=9)):
        await work(worklist.mark, {ACME: day})
    assert await work(worklist.due, NOW, 0, 10) == [Work(ACME, "", DAY - timedelta(days=4), 3)]


async def test_the_oldest_mark_comes_first_and_there_is_a_limit(work):
    for name in ("c", "a", "b"):
        await work(worklist.mark, {worklist.account(name): DAY})
    assert [one.account for one in await work(worklist.due, NOW, 0, 2)] == ["c", "a"]


async def test_work_is_of_an_account_or_of_a_trial(work):
    await work(worklist.mark, {worklist.account("trial:x"): DAY, worklist.trial("account:y"): DAY})
    found = {(one.account, one.opportunity) for one in await work(worklist.due, NOW, 0, 10)}
    assert found == {("trial:x", None), (None, "account:y")}


async def test_what_is_done_is_struck_off(work):
    await work(worklist.mark, {ACME: DAY, TRIAL: DAY})
    for one in await work(worklist.due, NOW, 0, 10):
        await work(worklist.done, one)
    assert await work(worklist.due, NOW, 0, 10) == []


async def test_what_was_marked_again_meanwhile_is_not(work):
    await work(worklist.mark, {ACME: DAY})
    (one,) = await work(worklist.due, NOW, 0, 10)
    await work(worklist.mark, {ACME: DAY})
    await work(worklist.done, one)
    assert [again.marked for again in await work(worklist.due, NOW, 0, 10)] == [2]


async def test_nothing_to_mark_is_no_statement(work):
    await work(worklist.mark, {})
    assert await work(worklist.due, NOW, 0, 10) == []


async def test_an_import_holds_its_subjects_until_it_is_finished_and_counted(work, job):
    await job("job")
    await work(worklist.mark, {ACME: DAY}, "job")
    await work(worklist.mark, {ACME: DAY})  # a live event of the same account
    await work(worklist.mark, {worklist.account("bolt"): DAY})

    async def due(counted):
        return {(one.account, one.import_id) for one in await work(worklist.due, NOW, counted, 10)}

    assert await due(99) == {("bolt", "")}
    assert await work(worklist.held, 99) == {ACME}
    await job("job", 100)
    assert await due(99) == {("bolt", "")}
    assert await due(100) == {("bolt", ""), ("acme", "job"), ("acme", "")}
    assert await work(worklist.held, 100) == set()
    assert await work(worklist.pending, "job") == 1


async def test_an_import_that_nobody_has_heard_of_holds_too(work):
    """Its first batches can be counted before the fact that it has started."""
    await work(worklist.mark, {ACME: DAY}, "unheard")
    assert await work(worklist.due, NOW, 10**9, 10) == []


async def test_an_abandoned_import_holds_nobody_for_ever(work, job, engine):
    await job("job")
    await work(worklist.mark, {ACME: DAY}, "job")
    await aged(engine, ACME, worklist.ABANDONED_AFTER - timedelta(minutes=1))
    assert await work(worklist.due, NOW, 0, 10) == []
    await aged(engine, ACME, timedelta(minutes=2))
    assert [one.account for one in await work(worklist.due, NOW, 0, 10)] == ["acme"]


async def test_an_import_that_goes_on_with_other_accounts_is_not_abandoned(work, job, engine):
    await job("job")
    await work(worklist.mark, {ACME: DAY}, "job")
    await aged(engine, ACME, timedelta(hours=1))
    await work(worklist.mark, {worklist.account("zeta"): DAY}, "job")
    assert await work(worklist.due, NOW, 0, 10) == []
    assert await work(worklist.held, 0) == {ACME, worklist.account("zeta")}


async def aged(engine, subject, by):
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE metrics.dirty SET marked_at = marked_at - CAST(:by AS interval) WHERE subject = :subject"),
            {"by": by, "subject": subject},
        )


async def test_work_that_is_for_later_waits_unless_it_is_marked_again(work):
    later = NOW + timedelta(hours=9)
    await work(worklist.mark, {ACME: DAY}, "", later)
    assert await work(worklist.due, NOW, 0, 10) == []
    assert [one.subject for one in await work(worklist.due, later, 0, 10)] == [ACME]
    await work(worklist.mark, {ACME: DAY})
    assert [one.subject for one in await work(worklist.due, NOW, 0, 10)] == [ACME]
