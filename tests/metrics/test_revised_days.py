"""A late event, an import, a corrected date, licence or policy revises exactly the days it must, and no other.

Which days those are is said twice over: by hand, or by plain sets that share nothing with the engine; and each day that
is published says what it says when it is asked for.
"""

import random
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from uptake.messages.kpi import AccountSnapshot
from uptake_metrics.publishing import PUBLISHED_DAYS

LAST = date(2026, 8, 24)  # the newest closed day
FIRST = LAST - timedelta(days=PUBLISHED_DAYS - 1)
ACME = "account:acme"


def days(first, last):
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def ago(n):
    return LAST - timedelta(days=n)


@pytest.fixture
def plan(event):
    """A quarter of six people, some of whom come daily and some hardly ever."""
    rng = random.Random(21)
    often = {"ann": 1.0, "bob": 0.6, "cat": 0.2, "dan": 0.05, "eve": 0.03, "fay": 0.02}
    return [
        event("acme", user, day.isoformat())
        for day in days(ago(100), LAST)
        for user, chance in often.items()
        if rng.random() < chance
    ]


@pytest.fixture
async def acme(metrics, plan, fact):
    """In production for long, ten seats, all 35 days published."""
    await metrics.learn(
        fact("account.updated", account="acme", production_date="2026-01-01", contract_start="2025-12-01"),
        fact("license.issued", account="acme", license="main", seats=10),
    )
    await metrics.count(*plan)
    await metrics.publish()
    assert await metrics.revisions(ACME) == dict.fromkeys(days(FIRST, LAST), 1)
    return metrics


async def revised(metrics, subject=ACME):
    """The days of a second revision or a later one, once everything due is published; they say what they now are."""
    await metrics.publish()
    newest = {day for day, revision in (await metrics.revisions(subject)).items() if revision > 1}
    rows = await metrics.rows("SELECT body FROM metrics.snapshot WHERE subject = :s ORDER BY revision", s=subject)
    published = {one.kpis.as_of: one.kpis for one in (AccountSnapshot.model_validate(body) for (body,) in rows)}
    for tallied in await metrics.tally.days(subject.partition(":")[2], min(published), max(published)):
        revision = published[tallied.day].revision
        assert published[tallied.day] == metrics.evaluation.kpis(subject.partition(":")[2], tallied, revision)
    return sorted(newest)


def says(events, day):
    """All counts that a day tells, with plain sets: DAU, WAU, MAU, and the user-days of 28 and of 30 days."""
    seen = {(event["user"], event["at"].date()) for event in events}

    def users(window):
        return len({user for user, on in seen if day - timedelta(days=window) < on <= day})

    def user_days(window):
        return len([on for _, on in seen if day - timedelta(days=window) < on <= day])

    return users(1), users(7), users(30), user_days(28), user_days(30)


@pytest.mark.parametrize("user", ["ann", "bob", "fay", "new"])
@pytest.mark.parametrize("age", [0, 1, 6, 7, 27, 28, 29, 30, 34])
async def test_a_late_event_revises_the_days_whose_counts_it_changes(acme, plan, event, user, age):
    late = event("acme", user, ago(age).isoformat())
    await acme.count(late)
    expected = [day for day in days(FIRST, LAST) if says([*plan, late], day) != says(plan, day)]
    assert await revised(acme) == expected
    known = any(one["user"] == user and one["at"].date() == ago(age) for one in plan)
    assert expected == ([] if known else days(ago(age), min(ago(age) + timedelta(days=29), LAST)))


async def test_a_feature_of_no_use_case_that_was_used_early_revises_the_days_that_say_so(acme, event):
    """Nobody was active who was not known to be: only the first use of a feature is news, of the day itself."""
    await acme.count(event("acme", "ann", ago(12).isoformat(), "brand-new"))
    assert await revised(acme) == [ago(12)]
    await acme.count(event("acme", "ann", ago(12).isoformat(), "brand-new"))
    assert await revised(acme) == [ago(12)]


async def test_an_event_from_before_the_published_days_revises_those_it_still_counts_in(acme, plan, event):
    late = event("acme", "new", ago(50).isoformat())
    await acme.count(late)
    assert await revised(acme) == days(FIRST, ago(50) + timedelta(days=29))


async def test_an_event_too_old_to_count_in_any_published_day_revises_none(acme, event):
    await acme.count(event("acme", "new", (FIRST - timedelta(days=30)).isoformat()))
    assert await revised(acme) == []


async def test_a_sign_of_life_of_a_machine_revises_no_day(acme, event):
    await acme.count(event("acme", "bot", ago(9).isoformat(), actor="system"))
    assert await revised(acme) == []


async def test_a_sign_of_life_in_a_silence_revises_the_days_until_the_next_one(metrics, event):
    """No count moves, but it was heard of: the last contact of the days until something else came."""
    await metrics.count(event("quiet", "ann", ago(30).isoformat()), event("quiet", "ann", ago(2).isoformat()))
    await metrics.publish()
    await metrics.count(event("quiet", "bot", ago(10).isoformat(), actor="system"))
    assert await revised(metrics, "account:quiet") == days(ago(10), ago(3))


async def test_an_import_revises_all_that_it_changes_once(acme, plan, event, fact):
    await acme.learn(fact("import.started", import_id="job", reason="history"))
    brought = [event("acme", "old", ago(60).isoformat()), event("acme", "old", ago(45).isoformat()), plan[-1]]
    for one in brought:
        await acme.count(one, import_id="job")
        await acme.publish()
        assert set((await acme.revisions(ACME)).values()) == {1}
    await acme.learn(fact("import.finished", import_id="job", usage_sequence=0, accepted=3, refused=0))
    expected = [day for day in days(FIRST, LAST) if says([*plan, *brought], day) != says(plan, day)]
    assert await revised(acme) == expected == days(FIRST, ago(45) + timedelta(days=29))
    assert set((await acme.revisions(ACME)).values()) == {1, 2}


async def test_the_same_import_again_revises_nothing(acme, plan, fact):
    await acme.learn(fact("import.started", import_id="job", reason="history"))
    await acme.count(*plan, import_id="job")
    await acme.learn(fact("import.finished", import_id="job", usage_sequence=0, accepted=3, refused=0))
    assert await revised(acme) == []


async def test_a_corrected_production_date_revises_the_days_whose_ladder_it_moves(acme, fact):
    """The day of the ladder moves on every day."""
    await acme.learn(fact("account.updated", "2026-08-24T00:00:00Z", account="acme", production_date="2026-01-02"))
    assert await revised(acme) == days(FIRST, LAST)


async def test_a_production_date_stated_again_revises_nothing(acme, fact):
    await acme.learn(fact("account.updated", "2026-08-24T00:00:00Z", account="acme", production_date="2026-01-01"))
    assert await revised(acme) == []


async def test_on_a_contract_ladder_a_later_production_date_revises_the_days_it_takes_the_adoption_from(acme, fact):
    """And the 27 days from it on, over fewer than 28 of which usage is a mean. The newest day also says who it is."""
    await acme.learn(fact("account.updated", account="acme", policy="future-state"))
    await acme.publish()
    before = await acme.revisions(ACME)
    await acme.learn(fact("account.updated", "2026-08-24T00:00:00Z", account="acme", production_date=str(ago(30))))
    await acme.publish()
    after = await acme.revisions(ACME)
    moved = [day for day in after if after[day] != before[day]]
    assert moved == [*days(FIRST, ago(30) + timedelta(days=26)), LAST]


async def test_a_correction_of_a_licence_revises_the_days_in_which_its_seats_differ(acme, fact):
    spell = {"starts_at": f"{ago(20)}T00:00:00Z", "expires_at": f"{ago(10)}T00:00:00Z"}
    await acme.learn(fact("license.issued", account="acme", license="extra", seats=1, **spell))
    assert await revised(acme) == days(ago(20), ago(11))


async def test_a_licence_that_ends_in_the_middle_of_a_day_no_longer_counts_on_it(acme, fact):
    spell = {"starts_at": f"{ago(20)}T13:00:00Z", "expires_at": f"{ago(10)}T13:00:00Z"}
    await acme.learn(fact("license.issued", account="acme", license="extra", seats=1, **spell))
    assert await revised(acme) == days(ago(20), ago(11))


@pytest.mark.parametrize("licence", [{"environment": "trial"}, {"seats": 0}])
async def test_a_licence_that_brings_no_seats_revises_nothing(acme, fact, licence):
    await acme.learn(fact("license.issued", account="acme", license="extra", **{"seats": 5} | licence))
    assert await revised(acme) == []


async def test_a_policy_stated_from_a_day_on_revises_the_days_from_then_on(acme, fact):
    await acme.learn(
        fact("account.updated", account="acme", policy="ce-2022"),
        fact("account.updated", f"{ago(12)}T08:00:00Z", account="acme", policy="ta-2022"),
    )
    await acme.publish()
    chosen = [day for day, revision in (await acme.revisions(ACME)).items() if revision > 1]
    assert chosen == days(FIRST, LAST)  # the account's own statement has taken the default's place on all of them
    bodies = await acme.rows("SELECT day, body FROM metrics.snapshot WHERE subject = :s AND revision = 2", s=ACME)
    assert {day: body["kpis"]["adoption"]["policy"] for day, body in bodies} == {
        day: "ta-2022" if day >= ago(12) else "ce-2022" for day in days(FIRST, LAST)
    }


async def test_linked_ids_revise_the_days_on_which_both_were_counted(metrics, event, fact):
    await metrics.count(
        *(event("acme", "ann", day.isoformat()) for day in days(ago(60), LAST)),
        event("acme", "ann-2", ago(33).isoformat()),
    )
    await metrics.publish()
    await metrics.learn(fact("user.linked", account="acme", user="ann", other="ann-2"))
    assert await revised(metrics) == days(ago(33), ago(4))
    await metrics.learn(fact("user.unlinked", "2026-08-01T00:00:00Z", account="acme", user="ann", other="ann-2"))
    await metrics.publish()
    assert [r for day, r in (await metrics.revisions(ACME)).items() if ago(33) <= day <= ago(4)] == [3] * 30


async def test_another_zone_revises_every_day_since_each_begins_at_another_instant(
    rezoning_of, metrics, event, fact, clock, client, send, reading
):
    stored = await client.jetstream().publish("raw.v1.test.x", b"")
    message = await client.jetstream().get_msg(stored.stream, stored.seq)
    clock.now = message.time.replace(hour=12, minute=0, second=0, microsecond=0)
    today = clock.now.date()
    async with reading(metrics):
        await send(event("acme", "ann", f"{today - timedelta(days=n)}T20:00:00+00:00") for n in range(1, 9))
    await metrics.publish()
    published = list(await metrics.revisions(ACME))
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    rezoning = rezoning_of(metrics)
    assert await rezoning.run_once() == 1
    assert await revised(metrics) == published


async def test_what_an_earlier_version_did_not_say_yet_revises_nothing(acme, event, fact):
    async with acme.engine.begin() as connection:
        await connection.execute(
            text("UPDATE metrics.snapshot SET body = body #- '{kpis,telemetry}' #- '{use_cases}' #- '{facts_to}'")
        )
    await acme.learn(fact("account.updated", account="acme", region="emea"))
    assert await acme.rows("SELECT count(*) FROM metrics.dirty") == [(1,)]
    await acme.publish()
    known = await acme.revisions(ACME)
    assert [day for day, revision in known.items() if revision > 1] == [LAST]
    await acme.count(event("acme", "new", ago(3).isoformat()))
    await acme.publish()
    assert {day: r - known[day] for day, r in (await acme.revisions(ACME)).items() if r != known[day]} == dict.fromkeys(
        days(ago(3), LAST), 1
    )


async def test_who_the_account_is_revises_its_newest_day_only(acme, fact):
    await acme.learn(fact("account.updated", account="acme", owner="kim"))
    assert await revised(acme) == [LAST]


async def test_a_change_of_another_account_revises_nothing_here(acme, event, fact):
    await acme.count(event("other", "ann", ago(3).isoformat()))
    await acme.learn(fact("license.issued", account="other", license="main", seats=10))
    assert await revised(acme) == []
