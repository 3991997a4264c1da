"""What changed between two days: people, licences, dates and everything else, in numbers that add up."""

import random
from datetime import date, timedelta

import pytest

PATH = "/api/v1/accounts/acme/changes"
LAST = date(2026, 8, 24)


@pytest.fixture
async def ask(asking, metrics):
    async with asking(metrics) as ask:
        yield ask


@pytest.fixture
async def acme(metrics, event, fact):
    """ann every day, bob until 10 July, cat from 10 August on; 4 seats, 8 from 1 August on."""
    days = [date(2026, 6, 1) + timedelta(days=n) for n in range(85)]
    await metrics.count(
        *(event("acme", "ann", day.isoformat()) for day in days),
        *(event("acme", "bob", day.isoformat()) for day in days if day <= date(2026, 7, 10)),
        *(event("acme", "cat", day.isoformat()) for day in days if day >= date(2026, 8, 10)),
    )
    await metrics.learn(
        fact("account.updated", account="acme", production_date="2026-05-01"),
        fact("license.issued", account="acme", license="main", seats=4),
    )
    await metrics.publish()
    await metrics.learn(fact("license.issued", "2026-08-01T09:00:00Z", account="acme", license="main", seats=8))
    await metrics.publish()
    await metrics.board.refresh()
    return metrics


def between(first, last=LAST):
    return {"from": first, "to": str(last)}


async def test_people_who_entered_and_left_explain_the_mau(acme, ask):
    status, found = await ask(PATH, **between("2026-07-10"))
    assert status == 200
    assert found["people"] == {"entered": 1, "left": 1, "entered_users": ["cat"], "left_users": ["bob"]}
    assert (found["before"]["mau"], found["after"]["mau"]) == (2, 2)
    assert found["lines"][0] == "1 user entered, 1 left: MAU 2 -> 2"


async def test_where_people_may_not_be_listed_they_are_only_counted(acme, ask, fact):
    await acme.learn(fact("account.updated", account="acme", user_lists=False))
    _, found = await ask(PATH, **between("2026-07-10"))
    assert found["people"] == {"entered": 1, "left": 1, "entered_users": None, "left_users": None}


async def test_the_licence_that_moved_the_seats_names_its_fact(acme, ask):
    _, found = await ask(PATH, **between("2026-07-31"))
    (licence,) = found["licenses"]
    assert (licence["license"], licence["before"], licence["after"]) == ("main", 4, 8)
    assert (licence["fact"]["source"], licence["fact"]["occurred_at"]) == ("crm", "2026-08-01T09:00:00Z")
    assert "seats 4 -> 8" in found["lines"]
    assert any(line.startswith("licence main: 4 -> 8 seats, said by fact-") for line in found["lines"])


async def test_a_licence_that_ended_and_one_that_began_are_two_changes(acme, ask, fact):
    await acme.learn(
        fact("license.revoked", "2026-08-20T00:00:00Z", account="acme", license="main"),
        fact("license.issued", "2026-08-20T00:00:00Z", account="acme", license="other", seats=8),
    )
    _, found = await ask(PATH, **between("2026-08-19"))
    assert [(one["license"], one["before"], one["after"], one["fact"]["type"]) for one in found["licenses"]] == [
        ("main", 8, None, "license.revoked"),
        ("other", None, 8, "license.issued"),
    ]
    assert not any(line.startswith("seats") for line in found["lines"])


async def test_every_field_that_moved_is_listed_with_both_values(acme, ask):
    _, found = await ask(PATH, **between("2026-07-29"))
    moved = {one["field"]: (one["before"], one["after"]) for one in found["moved"]}
    assert moved["adoption.n"] == (89, 115)
    assert moved["adoption.target"] == (0.25, 0.5)
    assert "target 0.25 -> 0.5 on day 115 of ce-2022" in found["lines"]
    assert moved.keys().isdisjoint({"as_of", "revision", "account"})


async def test_a_day_and_itself_do_not_differ(acme, ask):
    _, found = await ask(PATH, **between(str(LAST)))
    assert (found["lines"], found["moved"], found["licenses"]) == (["nothing changed"], [], [])
    assert found["people"]["entered"] == found["people"]["left"] == 0


async def test_a_date_corrected_between_the_two_publications_is_told(acme, ask, fact, clock):
    day = date(2026, 8, 26)
    correction = fact("account.updated", "2026-08-20T00:00:00Z", account="acme", production_date="2026-05-20")
    clock.forward(days=1)
    arrived = correction.model_copy(update={"received_at": clock.now})
    clock.forward(days=1)
    await acme.learn(arrived)
    await acme.publish()
    _, found = await ask(PATH, **between(str(LAST), day))
    (one,) = found["corrections"]
    assert (one["field"], one["before"], one["after"]) == ("production_date", "2026-05-01", "2026-05-20")
    assert one["fact"]["id"] == correction.event.id
    assert any(line.startswith("production_date 2026-05-01 -> 2026-05-20, said by") for line in found["lines"])
    _, later = await ask(PATH, **between(str(day), day))
    assert later["corrections"] == []


async def test_counts_that_pings_told_have_no_people_behind_them(acme, ask, fact):
    ping = {"account": "pinged", "mau": 7}
    await acme.learn(
        fact("account.updated", account="pinged", telemetry="pings"),
        fact("usage.ping", "2026-08-20T10:00:00Z", day="2026-08-20", **ping),
        fact("usage.ping", "2026-08-22T10:00:00Z", day="2026-08-22", **ping | {"mau": 9}),
    )
    await acme.board.refresh()
    _, found = await ask("/api/v1/accounts/pinged/changes", **{"from": "2026-08-20", "to": "2026-08-22"})
    assert (found["people"], found["before"]["mau"], found["after"]["mau"]) == (None, 7, 9)
    assert "MAU 7 -> 9" in found["lines"]


async def test_a_number_that_became_unknown_says_why(metrics, ask, event, fact):
    """Five people until June, and a tier that tells nothing since; the licence ended."""
    days = ["2026-06-28", "2026-06-29", "2026-06-30"]
    await metrics.count(*(event("acme", f"u{n}", day) for n in range(5) for day in days))
    await metrics.learn(
        fact("account.updated", account="acme", production_date="2026-01-01"),
        fact("account.updated", "2026-07-15T00:00:00Z", account="acme", telemetry="none"),
        fact("license.issued", account="acme", license="l", seats=8, expires_at="2026-08-01T00:00:00Z"),
    )
    await metrics.board.refresh()
    _, found = await ask(PATH, **between("2026-06-30"))
    assert "0 users entered, 5 left: MAU 5 -> unknown (no_telemetry)" in found["lines"]
    assert "seats 8 -> unknown (no_seats)" in found["lines"]
    assert any(line.startswith("licence l: 8 -> none seats") for line in found["lines"])
    assert "usage 15/140 (poor) -> no_telemetry (unknown)" in found["lines"]
    assert "None" not in "".join(found["lines"])
    _, back = await ask(PATH, **between("2026-06-01", "2026-06-30"))
    assert "5 users entered, 0 left: MAU unknown (no_telemetry) -> 5" not in back["lines"]
    assert any(line.endswith("MAU 0 -> 5") for line in back["lines"])  # nobody yet, and the days before are counted


async def test_counts_add_up_between_any_two_days(metrics, event, ask):
    rng = random.Random(4)
    days = [LAST - timedelta(days=rng.randrange(300)) for _ in range(200)]
    await metrics.count(*(event("acme", f"u{rng.randrange(12)}", day.isoformat()) for day in days))
    await metrics.counting.compact(everything=True)
    for _ in range(25):
        first, last = sorted(LAST - timedelta(days=rng.randrange(320)) for _ in range(2))
        _, found = await ask(PATH, **between(str(first), last))
        people = found["people"]
        assert (len(people["entered_users"]), len(people["left_users"])) == (people["entered"], people["left"])
        assert not set(people["entered_users"]) & set(people["left_users"])
        mau = [found[when]["mau"] or 0 for when in ("before", "after")]  # null before anything was heard
        assert mau[1] == mau[0] + people["entered"] - people["left"]


@pytest.mark.parametrize(
    "query",
    [{"from": "2026-08-24", "to": "2026-08-23"}, {"from": "2026-08-01", "to": "2026-08-26"}, {"to": "2026-08-01"}],
)
async def test_what_cannot_be_answered_is_said(acme, ask, query):
    status, said = await ask(PATH, **query)
    assert (status, said["error"]) in ((400, "invalid_range"), (400, "invalid_day"), (400, "invalid_request"))


async def test_an_unknown_account_is_not_found(ask):
    assert (await ask("/api/v1/accounts/nobody/changes", **between("2026-08-01")))[0] == 404
