"""The counts of any day, and the people behind them: from the rings and from the archive they are the same."""

import itertools
import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TODAY = date(2026, 8, 25)
OLD = date(2021, 3, 14)


def day_before(day, days):
    return day - timedelta(days=days)


@pytest.fixture
def events(event):
    """A year and a half up to today, and a month of 2021."""
    rng = random.Random(11)
    days = [day_before(TODAY, min(int(rng.expovariate(1 / 60)), 500)) for _ in range(400)]
    days += [day_before(OLD, rng.randrange(40)) for _ in range(60)]
    return [
        event("acme", f"user-{rng.randrange(25)}", day.isoformat(), rng.choice(["edit", "view", "sign_in"]))
        for day in days
    ]


@pytest.fixture
async def counted(metrics, events):
    await metrics.count(*events)
    await metrics.counting.compact(everything=True)
    await metrics.count(*events[:10])
    return metrics


SOME_DAYS = [
    *(day_before(TODAY, n) for n in (-3, 0, 1, 2, 20, 33, 34, 35, 36, 62, 63, 64, 65, 100, 300)),
    *(day_before(OLD, n) for n in (-30, -29, -7, 0, 1, 12, 45)),
    date(1970, 3, 1),
]


async def test_the_list_behind_a_count_is_as_long_as_the_count(counted, events, recount):
    work = [one for one in events if one["feature"] != "sign_in"]
    for day in SOME_DAYS:
        (tallied,) = await counted.tally.days("acme", day, day)
        counts = (tallied.counts.dau_30[-1], tallied.counts.wau, tallied.counts.mau)
        assert counts == recount(work, day), day
        for place, window in enumerate(("dau", "wau", "mau")):
            users = await counted.tally.users("acme", day, window, None)
            assert (len(users), users) == (counts[place], sorted(users)), day
            for feature in ("edit", "view"):
                of_feature = [one for one in work if one["feature"] == feature]
                listed = await counted.tally.users("acme", day, window, feature)
                assert len(listed) == recount(of_feature, day)[place], day
                assert set(listed) <= set(users)


async def test_a_day_from_memory_is_the_day_from_the_database(counted):
    asked = 0
    for age in range(-3, 40):
        day = day_before(TODAY, age)
        at_once = counted.tally.now("acme", day)
        if at_once:
            asked += 1
            assert [at_once] == await counted.tally.days("acme", day, day)
    assert asked >= 35


async def test_many_accounts_at_once_are_told_as_each_alone(metrics, event):
    rng, names = random.Random(5), [f"n{n}" for n in range(60)]
    for name in names[:-5]:  # the last ones never sent anything
        days = [rng.choice([TODAY, day_before(TODAY, 40), day_before(TODAY, 200), OLD]) for _ in range(4)]
        await metrics.count(*(event(name, f"u{rng.randrange(3)}", day.isoformat()) for day in days))
    await metrics.count(event("n0", "bot", day_before(OLD, 9).isoformat(), actor="system"))
    await metrics.counting.compact(everything=True)
    for day in (TODAY, day_before(TODAY, 35), day_before(TODAY, 150), OLD, day_before(OLD, 1), day_before(OLD, 400)):
        together = await metrics.tally.on(dict.fromkeys(names, day))
        assert together == {name: (await metrics.tally.days(name, day, day))[0] for name in names}, day


async def test_a_span_is_its_days_whether_it_lies_in_the_ring_or_not(counted):
    for first, last in [(day_before(TODAY, 10), TODAY), (day_before(TODAY, 90), TODAY), (day_before(OLD, 50), OLD)]:
        span = await counted.tally.days("acme", first, last)
        singly = [(await counted.tally.days("acme", one.day, one.day))[0] for one in span]
        assert span == singly
        assert [one.day for one in span] == [first + timedelta(days=n) for n in range((last - first).days + 1)]


async def test_dau_of_30_days_is_the_dau_of_each(counted):
    (tallied,) = await counted.tally.days("acme", TODAY, TODAY)
    each = await counted.tally.days("acme", day_before(TODAY, 29), TODAY)
    assert list(tallied.counts.dau_30) == [one.counts.dau_30[-1] for one in each]


async def test_a_span_that_ends_before_it_begins_has_no_days(counted):
    assert await counted.tally.days("acme", TODAY, day_before(TODAY, 1)) == []


async def test_nothing_is_known_of_an_account_that_never_sent_anything(metrics):
    assert metrics.tally.now("nobody", TODAY).counts is None
    (day,) = await metrics.tally.days("nobody", TODAY, TODAY)
    assert (day.counts, day.last_contact) == (None, None)
    assert await metrics.tally.users("nobody", TODAY, "mau", None) == []


async def test_a_sign_of_life_is_a_contact_and_counts_nobody(metrics, event):
    await metrics.count(event("acme", "bot", "2026-08-20", actor="system"))
    tallied = metrics.tally.now("acme", TODAY)
    assert tallied.last_contact == date(2026, 8, 20)
    assert (tallied.counts.mau, sum(tallied.counts.dau_30)) == (0, 0)
    assert await metrics.tally.users("acme", TODAY, "mau", None) == []


async def test_the_last_contact_is_the_newest_one_up_to_the_day(metrics, event):
    await metrics.count(*(event("acme", "ann", on) for on in ("2026-08-20", "2022-02-02", "2026-06-30")))
    await metrics.counting.compact(everything=True)
    heard = {}
    for on in ("2026-08-25", "2026-08-20", "2026-08-19", "2026-06-30", "2026-06-29", "2022-02-02", "2022-02-01"):
        (tallied,) = await metrics.tally.days("acme", date.fromisoformat(on), date.fromisoformat(on))
        heard[on] = tallied.last_contact and tallied.last_contact.isoformat()
    assert heard == {
        "2026-08-25": "2026-08-20",
        "2026-08-20": "2026-08-20",
        "2026-08-19": "2026-06-30",
        "2026-06-30": "2026-06-30",
        "2026-06-29": "2022-02-02",
        "2022-02-02": "2022-02-02",
        "2022-02-01": None,
    }


async def test_after_months_of_silence_memory_does_not_guess(metrics, event):
    """The ring has forgotten the last contact: only the database can tell it."""
    await metrics.count(event("acme", "ann", "2026-05-01"))
    assert metrics.tally.now("acme", TODAY) is None
    (tallied,) = await metrics.tally.days("acme", TODAY, TODAY)
    assert (tallied.counts.mau, tallied.last_contact) == (0, date(2026, 5, 1))


async def test_environment_trial_is_asked_for_by_name(metrics, event):
    await metrics.count(event("acme", "ann", "2026-08-25"), event("acme", "t", "2026-08-25", environment="trial"))
    assert metrics.tally.now("acme", TODAY).counts.mau == metrics.tally.now("acme", TODAY, "trial").counts.mau == 1
    (trial,) = await metrics.tally.days("acme", TODAY, TODAY, "trial")
    assert trial.counts.mau == 1
    assert await metrics.tally.users("acme", TODAY, "mau", None) == ["ann"]


async def test_an_unknown_feature_has_nobody(counted):
    assert await counted.tally.users("acme", TODAY, "mau", "sign_in") == []
    assert await counted.tally.users("acme", TODAY, "mau", "never-heard-of") == []


async def test_people_keep_their_names(metrics, metrics_of, event):
    users = ["Zoë", "Zoe\u0308", "عمر", "𝕒𝕟𝕟", "a b", "a/b", "%2F", "'; DROP TABLE metrics.person; --", "x" * 200]
    at = datetime(2026, 8, 25, 1, tzinfo=UTC)
    await metrics.count(*(event("Ünïcode & Söhne", user, at, "特徴") for user in users))
    again = metrics_of()
    await again.load()
    assert await again.tally.users("Ünïcode & Söhne", TODAY, "dau", "特徴") == sorted(users)


async def linked(metrics, event, fact):
    """Today only bob and his two other ids; in 2021 ann and bob, who are one person; eve is nobody else."""
    await metrics.count(
        *(
            event("acme", user, "2026-08-25", feature)
            for user in ("bob", "carl", "eve")
            for feature in ("edit", "view")
        ),
        *(event("acme", user, OLD.isoformat()) for user in ("ann", "bob", "eve")),
    )
    links = (
        fact("user.linked", account="acme", user="ann", other="bob"),
        fact("user.linked", account="acme", user="bob", other="carl"),
    )
    await metrics.learn(*links)


@pytest.mark.parametrize("day", [TODAY, OLD])
async def test_linked_ids_count_as_one_person(metrics, metrics_of, event, fact, day):
    await linked(metrics, event, fact)
    again = metrics_of()
    await again.load()
    for process in (metrics, again):
        assert await process.counted("acme", day, day) == [(2, 2, 2)]
        assert (await process.tally.on({"acme": day}))["acme"].counts.mau == 2
        for feature in (None, "edit"):
            assert await process.tally.users("acme", day, "mau", feature) == ["ann", "eve"]
        masks = await process.tally.masks("acme", day, day)
        assert await process.tally.names("acme", masks.user) == ["ann", "eve"]
        assert len(await process.tally.masks("acme", day, day, ["edit", "view"])) == 2


async def test_memory_tells_the_counts_of_linked_ids(metrics, event, fact):
    await linked(metrics, event, fact)
    (day,) = await metrics.tally.days("acme", TODAY, TODAY)
    assert metrics.tally.now("acme", TODAY) == day
    assert (day.counts.dau_30[-1], day.counts.wau, day.counts.mau) == (2, 2, 2)


async def test_unlinking_restores_everything(metrics, event, fact):
    await linked(metrics, event, fact)
    await metrics.learn(fact("user.unlinked", account="acme", user="carl", other="bob"))
    assert await metrics.tally.users("acme", TODAY, "mau", None) == ["ann", "carl", "eve"]
    await metrics.learn(fact("user.unlinked", account="acme", user="ann", other="bob"))
    assert await metrics.tally.users("acme", TODAY, "mau", None) == ["bob", "carl", "eve"]
    assert await metrics.counted("acme", OLD, OLD) == [(3, 3, 3)]


async def test_a_link_is_of_its_account_only(metrics, event, fact):
    await metrics.count(*(event(name, user, "2026-08-25") for name in ("acme", "other") for user in ("ann", "bob")))
    await metrics.learn(fact("user.linked", account="acme", user="ann", other="bob"))
    assert metrics.tally.now("acme", TODAY).counts.mau == 1
    assert metrics.tally.now("other", TODAY).counts.mau == 2


async def test_a_link_makes_new_revisions_of_the_days_it_changes(metrics, event, fact):
    await metrics.count(event("acme", "ann", "2026-08-10"), event("acme", "bob", "2026-08-11"))
    await metrics.publish()
    await metrics.learn(fact("user.linked", account="acme", user="ann", other="bob"))
    await metrics.publish()
    revisions = await metrics.revisions("account:acme")
    assert [revisions[date(2026, 8, day)] for day in (10, 11, 24)] == [1, 2, 2]


async def test_a_link_touches_the_board(metrics, event, fact):
    await metrics.count(event("acme", "ann", "2026-08-25"), event("acme", "bob", "2026-08-25"))
    await metrics.board.refresh()
    await metrics.learn(fact("user.linked", account="acme", user="ann", other="bob"))
    await metrics.board.refresh()
    assert metrics.board.lines["acme"].kpis.mau == 1


EXAMPLE = itertools.count()
PEOPLE = st.sampled_from(["ann", "bob", "carl", "dora", "eve"])
AGES = st.one_of(st.integers(0, 40), st.integers(41, 130), st.integers(1900, 1990))
USAGE = st.tuples(PEOPLE, AGES, st.sampled_from(["edit", "view"]))
STATEMENT = st.tuples(st.sampled_from(["user.linked", "user.unlinked"]), PEOPLE, PEOPLE, st.integers(1, 9))


def one_person(statements):
    """Each id's person, with sets: nothing in common with the code."""
    pairs = {}
    for kind, user, other, _ in sorted(statements, key=lambda said: said[3]):
        pairs[frozenset((user, other))] = kind == "user.linked"
    groups = {name: {name} for name in ["ann", "bob", "carl", "dora", "eve"]}
    for pair in [pair for pair, holds in pairs.items() if holds]:
        union = set().union(*(groups[name] for name in pair))
        groups |= dict.fromkeys(union, union)
    return {name: min(group) for name, group in groups.items()}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    usage=st.lists(USAGE, min_size=1, max_size=25),
    statements=st.lists(STATEMENT, max_size=8, unique_by=lambda said: said[3]),
    order=st.randoms(use_true_random=False),
)
async def test_any_program_of_usage_and_links_counts_as_plain_sets_do(
    metrics, metrics_of, event, fact, recount, usage, statements, order
):
    account = f"acme-{next(EXAMPLE)}"
    events = [event(account, user, day_before(TODAY, age).isoformat(), feature) for user, age, feature in usage]
    facts = [
        fact(kind, f"2026-07-0{at}T00:00:00Z", account=account, user=user, other=other)
        for kind, user, other, at in statements
    ]
    program = [*events, *facts]
    order.shuffle(program)
    for step in program:
        await (metrics.count(step) if isinstance(step, dict) else metrics.learn(step))
    again = metrics_of()
    await again.load()
    persons = one_person(statements)
    right = [one | {"user": persons[one["user"]]} for one in events]
    for age in {0, *(max(0, age - n) for _, age, _ in usage for n in (0, 7, 29))}:
        day = day_before(TODAY, age)
        counts = recount(right, day)
        for process in (metrics, again):
            assert await process.counted(account, day, day) == [counts], day
            told = process.tally.now(account, day)
            assert told is None or (told.counts.dau_30[-1], told.counts.wau, told.counts.mau) == counts
            for feature in (None, "edit"):
                of_feature = [one for one in right if feature in (None, one["feature"])]
                listed = await process.tally.users(account, day, "mau", feature)
                assert (len(listed), {persons[user] for user in listed}) == (
                    recount(of_feature, day)[2],
                    {one["user"] for one in of_feature if day_before(day, 30) < one["at"].date() <= day},
                )
