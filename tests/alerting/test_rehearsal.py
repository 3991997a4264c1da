"""Histories on a clock in memory: the same episodes and notices as the tables would tell."""

import random
import weakref
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import select

from tests.alerting import telling
from uptake_alerting import claims, digests, evaluation, rehearsed_notices
from uptake_alerting.dispatch import InForce, look
from uptake_alerting.patience import Next
from uptake_alerting.planning import plan
from uptake_alerting.rehearsal import Rehearsal, Stage, rehearse
from uptake_alerting.roster import Roster
from uptake_alerting.routes import Routes
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.rules import Rules
from uptake_alerting.tables import delivery, episode

RULES = RulesFile(None).current()
START = date(2026, 5, 4)  # a Monday
NOBODY, ONCE = Roster(), "feature-first-use"
ROUTES = Routes.model_validate(
    {
        "channels": {
            name: {"type": "webhook", "url": f"http://{name}.test/", "serves": [name]} for name in telling.PEOPLE
        },
        "default": [],
    }
)


@pytest.fixture
def days(account_day):
    """`days(24, 24, 50)`: closed days from START on; `other` of all of them."""

    def make(*maus, account="acme", **other):
        return [
            account_day(START + timedelta(days=n), mau, account=account, **other)
            for n, mau in enumerate(maus)
            if mau is not None
        ]

    return make


def play(samples, roster=NOBODY, routes=ROUTES, days=30, rules=RULES) -> Rehearsal:
    return rehearse(rules, samples, roster, routes, datetime.combine(START, datetime.min.time(), UTC) + timedelta(days))


def hasty(**other: str) -> Rules:
    """Off target for one day fires, on target for one day resolves."""
    rule = RULES.by_name["adoption-below-target"].model_dump(mode="json", by_alias=True, exclude_none=True)
    rule |= {"for": "1", "keep_firing_for": "1"} | other
    return Rules.model_validate({"groups": [{"name": "hasty", "rules": [rule]}]})


def told(found: Rehearsal, rule="adoption-below-target") -> list[tuple[str, str, str]]:
    return [(f"{n.at:%d %H:%M}", n.kind, n.person or n.channel) for n in found.notices if n.rule == rule]


def test_an_episode_begins_with_its_third_day_and_ends_with_the_third_good_one(days):
    found = play(days(24, 24, 24, 50, 50, 50))
    (one,) = found.episodes
    assert (one.rule, one.subject, one.owner, one.severity) == ("adoption-below-target", "acme", "ce-1", "warning")
    assert (one.since, one.fired_at) == (START, datetime(2026, 5, 7, 2, tzinfo=UTC))
    assert (one.ended_at, one.ended_as) == (datetime(2026, 5, 10, 2, tzinfo=UTC), "resolved")
    assert told(found) == [("07 02:00", "trigger", "ce-1"), ("10 02:00", "terminal", "ce-1")]
    states = [found.conditions[one.rule, "acme", START + timedelta(days=n)].condition for n in range(5)]
    assert states == ["pending", "pending", "firing", "recovering", "recovering"]


def test_the_order_of_samples_changes_nothing(days):
    samples = days(24, 24, 24, 50, 50)
    expected = play(samples)
    assert all(play(order) == expected for order in permutations(samples))


@pytest.mark.parametrize("roster", [NOBODY, telling.roster()], ids=["always", "at work"])
@pytest.mark.parametrize("seed", range(4))
def test_samples_one_by_one_come_to_what_all_at_once_come_to(account_day, trial, seed, roster):
    """Accounts of three zones and trials, some of whose samples come at one instant."""
    samples, until = _in_order(account_day, trial, random.Random(seed)), datetime(2026, 7, 20, tzinfo=UTC)
    together = rehearse(RULES, random.Random(seed).sample(samples, len(samples)), roster, ROUTES, until)
    one_by_one = Rehearsal()
    stage = Stage(RULES, roster, ROUTES, until, one_by_one)
    for sample in samples:
        stage.follow(sample)
    stage.end()
    assert len(together.notices) > 20
    assert sorted(one_by_one.episodes, key=str) == sorted(together.episodes, key=str)
    assert sorted(one_by_one.notices, key=str) == sorted(together.notices, key=str)
    assert (one_by_one.conditions, one_by_one.closed) == (together.conditions, together.closed)


def test_of_samples_one_by_one_only_the_newest_are_kept(account_day, trial):
    alive, most = weakref.WeakValueDictionary(), 0
    found = Rehearsal()
    stage = Stage(RULES, NOBODY, ROUTES, datetime(2026, 7, 20, tzinfo=UTC), found)
    for number, sample in enumerate(_in_order(account_day, trial, random.Random(1))):
        alive[number] = one = sample.model_copy()
        stage.follow(one)
        most = max(most, len(alive))
    assert most <= 6  # of three accounts, of two trials, and the one that comes
    assert len(found.episodes) > 5


def test_a_sample_that_comes_too_late_is_refused(days):
    stage = Stage(RULES, NOBODY, ROUTES, datetime(2026, 7, 20, tzinfo=UTC), Rehearsal())
    first, second = days(24, 24)
    stage.follow(second)
    with pytest.raises(ValueError, match="not in the order of time: 2026-05-05 02:00:00"):
        stage.follow(first)


def _in_order(account_day, trial, chance):
    zones = {"acme": 0, "blue": 0, "other": 9}  # hours behind
    samples = [
        one.model_copy(update={"closed_at": one.closed_at + timedelta(hours=hours)})
        for name, hours in zones.items()
        for one in _a_life(account_day, name, chance)
    ]
    told = [
        (0, {}),
        (7, {"revision": 2, "breached_on": date(2026, 6, 1)}),
        (30, {"revision": 3, "state": "stopped", "stopped": date(2026, 6, 3)}),
    ]
    for name in ("o-1", "o-2"):
        for number, other in told:
            at = datetime(2026, 5, 5, 2, tzinfo=UTC) + timedelta(days=number)
            samples.append(trial(opportunity=name, account="blue", published_at=at, **other))
    return sorted(samples, key=lambda one: getattr(one, "closed_at", one.published_at))


def test_the_clock_stops(days):
    assert play(days(24, 24, 24), days=2).episodes == []


def test_a_night_is_waited_out_and_a_notice_counts_for_the_day_whose_close_brought_it(days):
    found = play(days(24, 24, 24, 24), roster=telling.roster())
    (notice, *_) = found.notices
    assert (notice.at, notice.day) == (datetime(2026, 5, 7, 9, tzinfo=UTC), START + timedelta(days=2))
    assert told(found)[0] == ("07 09:00", "trigger", "ce-1")


def test_what_came_and_went_over_a_weekend_is_a_line_of_the_digest_and_no_trigger(days):
    found = play(days(50, 50, 50, 50, 24, 50), roster=telling.roster(), rules=hasty())
    assert [one.ended_as for one in found.episodes] == ["resolved"]  # from Saturday to Sunday
    assert told(found) == [("11 08:00", "digest", "ce-1")]


def test_what_is_over_before_its_digest_goes_is_one_line_of_it_without_an_end(days):
    found = play(days(50, 50, 50, 50, 24, 50), roster=telling.roster(), rules=hasty(deliver="digest"))
    assert told(found) == [("11 08:00", "digest", "ce-1")]


def test_whoever_is_not_there_is_passed_over(days):
    found = play(days(24, 24, 24), roster=telling.roster("ce-1"))
    assert told(found)[0][1:] == ("trigger", "ce-2")  # the deputy


def test_nobody_to_tell_is_no_notice_and_ends(days):
    found = play(days(24, 24, 24), routes=Routes())
    assert (len(found.episodes), found.notices) == (1, [])


def test_what_another_alert_explains_is_told_when_that_ends(days):
    samples = days(0, 0, 0, 30, 30)
    found = play(samples)
    assert [(at, kind) for at, kind, _ in told(found, "account-dormant")][:2] == [
        ("05 02:00", "trigger"),
        ("05 13:00", "escalation"),
    ]
    assert told(found)[0] == ("08 02:00", "trigger", "ce-1")


@pytest.fixture
def looks(monkeypatch) -> list[str]:
    """The rule of every case that is planned."""
    seen: list[str] = []

    def counted(case, contacts, now):
        seen.append(case.rule)
        return plan(case, contacts, now)

    monkeypatch.setattr(rehearsed_notices, "plan", counted)
    return seen


def test_what_another_alert_explains_costs_no_looks(days, looks):
    """Production looks again every five minutes, since anything may change; here only that other alert can."""
    silent = days(None, None, None, *[24] * 300, data_health="stale")
    found = play([*days(24, 24, 24), *silent], days=320)
    assert [one.rule for one in found.episodes] == ["adoption-below-target", "telemetry-silent"]
    assert [kind for _, kind, _ in told(found)] == ["trigger"]  # no reminder in a year of silence
    assert looks.count("adoption-below-target") < 5


def test_what_nobody_can_be_told_costs_no_looks(days, looks):
    assert play(days(*[24] * 100), routes=Routes(), days=110).notices == []
    assert len(looks) < 5


def test_the_fourth_firing_in_two_weeks_is_left_to_the_digest(days):
    found = play(days(*[24, 50] * 5), rules=hasty())
    assert [n.digest for n in found.notices if n.kind == "trigger"] == [False, False, False, True, True]


def test_a_first_use_is_told_once_with_the_digest(days):
    (day,) = days(60, features_first_used=["deploy"])
    found = play([day])
    assert [(one.ended_as, one.reason) for one in found.episodes] == [("closed", "one_shot")]
    assert [(n.kind, n.digest) for n in found.notices] == [("trigger", True)]


def test_the_clock_alone_moves_a_trial_until_it_stops(trial):
    stop = datetime(2026, 2, 26, 10, tzinfo=UTC)
    stopped = trial(revision=2, state="stopped", stopped=date(2026, 2, 26), published_at=stop)
    found = rehearse(RULES, [stopped, trial()], NOBODY, ROUTES, datetime(2026, 4, 1, tzinfo=UTC))
    (one,) = found.episodes
    assert (one.rule, one.since) == ("trial-breached", date(2026, 2, 24))
    assert one.fired_at == datetime(2026, 2, 23, 23, tzinfo=UTC)  # midnight in Berlin
    assert (one.ended_at, one.ended_as, one.reason) == (stop, "resolved", "trial_stopped")
    assert [(n.day, n.kind, n.person) for n in found.notices] == [
        (date(2026, 2, 24), "trigger", "ce-2"),
        (date(2026, 2, 26), "terminal", "ce-2"),
    ]


def test_accounts_do_not_hear_of_each_other(days):
    both = play([*days(24, 24, 24), *days(24, 24, 24, account="other", owner="ce-2", deputy=None)], days=4)
    assert sorted((one.subject, one.person) for one in both.notices) == [("acme", "ce-1"), ("other", "ce-2")]


_STORED = ("rule", "subject", "since", "fired_at", "ended_at", "severity", "reason")


@pytest.mark.parametrize("seed", range(4))
async def test_the_tables_come_to_the_same_episodes(engine, account_day, seed):
    """Two accounts through good, bad, silent and unknown weeks, day by day as production takes them."""
    chance = random.Random(seed)
    samples = [one for name in ("acme", "other") for one in _a_life(account_day, name, chance)]
    found = play(samples, days=90)
    for at in sorted({one.closed_at for one in samples}):
        async with engine.begin() as connection:
            await evaluation.take(connection, [one for one in samples if one.closed_at == at], RULES, at)
    async with engine.connect() as connection:
        rows = (await connection.execute(select(episode))).all()
    assert len(rows) > 5
    played = [
        (one.rule, one.subject, one.since, one.fired_at, one.ended_at, one.severity, one.reason)
        for one in found.episodes
    ]
    assert sorted(tuple(getattr(row, name) for name in _STORED) for row in rows) == sorted(played)


def _a_life(account_day, account, chance):
    mau, day = 40, START
    for _ in range(16):
        mood = chance.choice(["up", "down", "gone", "silent", "nobody", "new", "over"])
        for _ in range(chance.randint(1, 6)):
            mau = {"up": min(mau + 9, 100), "down": max(mau - 9, 0), "gone": 0, "over": 120}.get(mood, mau)
            if mood != "nobody":
                other = {"data_health": "stale"} if mood == "silent" else {}
                used = ["deploy"] if mood == "new" else []
                yield account_day(day, mau, account=account, features_first_used=used, **other)
            day += timedelta(days=1)


@pytest.mark.parametrize("seed", range(2))
async def test_the_tables_come_to_the_same_notices(engine, account_day, seed):
    """Nights, week-ends, reminders, escalations, digests and what other alerts explain, hour by hour."""
    samples, roster = list(_a_life(account_day, "acme", random.Random(seed))), telling.roster()
    found, now = play(samples, roster=roster, days=21), datetime(2026, 5, 4, tzinfo=UTC)
    in_force, todo = InForce(RULES.by_name, roster, ROUTES), sorted(samples, key=lambda one: one.closed_at)
    while (now := now + timedelta(hours=1)) <= datetime(2026, 5, 25, tzinfo=UTC):
        async with engine.begin() as connection:
            while todo and todo[0].closed_at <= now:
                await evaluation.take(connection, [todo.pop(0)], RULES, now)
            await _tell_all(connection, in_force, now)
    async with engine.connect() as connection:
        told = delivery.join(episode, delivery.c.episode == episode.c.id)
        heard = select(episode.c.rule, delivery.c.kind, delivery.c.person).select_from(told)
        rows = await connection.execute(heard.where(delivery.c.status.in_(("delivered", "collected"))))
        stored = sorted((rule, "trigger" if rule == ONCE else kind, person) for rule, kind, person in rows)
    assert len(stored) > 8
    assert stored == sorted((one.rule, one.kind, one.person) for one in found.notices)


async def _tell_all(connection, in_force, now):
    """All that is due is looked at and heard, as the loops of production would in an hour."""
    for _ in range(20):
        busy = len(await look(connection, in_force, now)) + await digests.make(connection, now)
        while claimed := await claims.claim(connection, now):
            for one in claimed:
                await claims.finish(connection, one, Next("delivered", "ok"), now)
            busy += 1
        if not busy:
            return
    raise AssertionError("it never comes to rest")
