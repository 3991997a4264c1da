"""FACTS in, accounts and trials out, against a real PostgreSQL: any order, any repeats, any restarts."""

import random
from datetime import date

import pytest
from sqlalchemy import text

from uptake.reader import Cursor, Entry, Fenced
from uptake_metrics import worklist


@pytest.fixture
def facts(fact):
    """Two accounts and a trial, with changes and corrections among them."""
    return [
        fact("account.updated", "2026-01-01T00:00:00Z", account="acme", name="Acme", owner="kim", region="emea"),
        fact("account.updated", "2026-02-01T00:00:00Z", account="acme", owner="lee", time_zone="Europe/Berlin"),
        fact("account.updated", "2026-03-01T00:00:00Z", account="acme", region=None, production_date="2026-02-10"),
        fact("license.issued", "2026-02-01T00:00:00Z", account="acme", license="l-1", seats=40),
        fact("license.issued", "2026-04-01T00:00:00Z", account="acme", license="l-1", seats=60),
        fact("account.updated", "2026-01-05T00:00:00Z", account="bolt", owner="kim"),
        fact("opportunity.stage_changed", "2026-05-01T00:00:00Z", account="bolt", opportunity="opp-1", stage=4),
        fact("trial.decided", "2026-05-20T00:00:00Z", opportunity="opp-1", outcome="win"),
        fact("instance.heartbeat", instance="i-1"),
        fact("feedback.submitted", account="zeta", theme="docs", impact="P2", text="more\nof it"),
    ]


def known(metrics):
    return metrics.register.accounts, metrics.register.trials


async def test_facts_become_accounts_and_trials(metrics, facts):
    await metrics.learn(*facts)
    acme = metrics.register.account("acme")
    assert (acme.owner, acme.region, acme.time_zone) == ("lee", None, "Europe/Berlin")
    assert acme.production_date == date(2026, 2, 10)
    assert [license.seats for license in acme.licenses] == [40, 60]
    trial = metrics.register.trials["opp-1"]
    assert (trial.account, trial.outcome, trial.stopped) == ("bolt", "win", date(2026, 5, 20))
    assert metrics.register.account("nobody").owner is None
    assert metrics.register.zone_of("nobody") == "UTC"
    assert metrics.register.touched == {"acme", "bolt", "zeta"}


@pytest.mark.parametrize("seed", range(3))
async def test_any_order_and_any_repeats_and_any_restarts_give_one_state(metrics, metrics_of, facts, seed):
    rng = random.Random(seed)
    await metrics.learn(*facts)
    expected = known(metrics)
    async with metrics.engine.begin() as connection:
        await connection.execute(text("TRUNCATE metrics.fact, metrics.cursor"))
    repeated = facts + rng.choices(facts, k=5)
    rng.shuffle(repeated)
    process = metrics_of()
    while repeated:
        part, repeated = repeated[:3], repeated[3:]
        await process.learn(*part)
        if rng.random() < 0.5:
            process = metrics_of()
    await process.load()
    assert known(process) == expected


async def test_a_second_process_is_fenced_and_then_agrees(metrics, metrics_of, facts):
    other = metrics_of()
    at = await other.register.load()
    await metrics.learn(*facts)
    entry = Entry(1, "fact.v1.x.y", facts[5].model_dump_json(exclude_unset=True).encode(), metrics.clock())
    with pytest.raises(Fenced):
        await other.register.apply([entry], at, Cursor("stream", 1))
    assert known(other) == ({}, {})
    assert await other.register.load() == Cursor("stream", len(facts))
    assert known(other) == known(metrics)


async def test_a_stream_that_was_made_again_may_number_its_facts_anew(metrics, metrics_of, facts, fact):
    """An operator moves the position to its beginning: what it still holds comes again, what is new has old numbers."""
    await metrics.learn(*facts)
    async with metrics.engine.begin() as connection:
        await connection.execute(text("DELETE FROM metrics.cursor"))
    again = metrics_of()
    await again.learn(fact("account.updated", "2026-07-01T00:00:00Z", account="acme", owner="lee"), *facts[3:])
    assert again.register.account("acme").owner == "lee"
    restarted = metrics_of()
    await restarted.load()
    assert known(restarted) == known(again)
    assert await metrics.rows("SELECT count(*) FROM metrics.fact") == [(len(facts),)]  # all but the heartbeat


async def test_a_failed_transaction_leaves_nothing_behind(metrics, facts, monkeypatch):
    await metrics.learn(*facts[:2])
    before = metrics.register.account("acme")

    async def fail(*_):
        raise ConnectionResetError("the database went away")

    with monkeypatch.context() as patch:
        patch.setattr(worklist, "mark", fail)
        with pytest.raises(ConnectionResetError):
            await metrics.learn(*facts[2:])
    assert metrics.register.account("acme") == before
    assert await metrics.rows("SELECT count(*) FROM metrics.fact") == [(2,)]
    await metrics.learn(*facts[2:])
    assert metrics.register.account("acme").production_date == date(2026, 2, 10)


async def test_what_is_no_fact_is_put_away_and_blocks_nobody(metrics, facts):
    at = await metrics.register.load()
    bodies = [b"{", b"[]", b'{"source": "crm"}', facts[0].model_dump_json(exclude_unset=True).encode()]
    entries = [Entry(n, "fact.v1.x.y", body, metrics.clock()) for n, body in enumerate(bodies, 1)]
    await metrics.register.apply(entries, at, Cursor("stream", 4))
    assert [entry.data for entry, _ in metrics.rejected] == bodies[:3]
    assert metrics.register.account("acme").owner == "kim"
    assert (await metrics.register.load()).sequence == 4


async def test_a_refused_entry_is_stepped_over(metrics):
    at = await metrics.register.load()
    await metrics.register.apply([], at, Cursor("stream", 7))
    assert await metrics.register.load() == Cursor("stream", 7)


async def test_facts_put_those_they_speak_of_on_the_worklist(metrics, facts, fact):
    await metrics.learn(*facts)
    assert {subject for (subject,) in await metrics.rows("SELECT subject FROM metrics.dirty")} == {
        "account:acme",
        "account:bolt",
        "account:zeta",
        "trial:opp-1",
        worklist.TEAM,
    }
    async with metrics.engine.begin() as connection:
        await connection.execute(text("TRUNCATE metrics.dirty"))
    await metrics.learn(fact("account.updated", "2026-07-01T00:00:00Z", account="bolt", owner="sam"))
    # The owner of its account stands in the trial's snapshot too.
    marked = await metrics.rows("SELECT subject, import_id, first_day FROM metrics.dirty ORDER BY subject")
    assert marked == [("account:bolt", "", worklist.EVER), ("trial:opp-1", "", worklist.EVER)]


async def test_an_import_job_is_known_from_its_start_to_its_end(metrics, fact):
    jobs = "SELECT import_id, source, reason, usage_sequence FROM metrics.import_job"
    await metrics.learn(fact("import.started", import_id="job", reason="years before"))
    assert await metrics.rows(jobs) == [("job", "crm", "years before", None)]
    end = {"import_id": "job", "usage_sequence": 77, "accepted": 5, "refused": 1}
    await metrics.learn(fact("import.finished", **end), fact("import.finished", **end))
    assert await metrics.rows(jobs) == [("job", "crm", "years before", 77)]
    await metrics.learn(fact("import.started", import_id="job", reason="again"))
    assert await metrics.rows(jobs) == [("job", "crm", "years before", 77)]
    assert await metrics.rows("SELECT * FROM metrics.dirty") == []
