"""Time to value over HTTP: of one account, and of all of them in one list."""

from datetime import date, timedelta
from fractions import Fraction

import pytest

PATH = "/api/v1/accounts/acme/time-to-value"


@pytest.fixture
async def ask(asking, metrics, event, fact):
    """acme: contract on 1 May, production on the 20th, four seats, a new user every week from the 25th on."""
    begun = date(2026, 5, 25)
    await metrics.learn(
        fact("account.updated", account="acme", contract_start="2026-05-01", production_date="2026-05-20"),
        fact("license.issued", account="acme", license="l", seats=4),
        fact("account.updated", account="new", contract_start="2026-08-01"),
    )
    days = [(user, begun + timedelta(days=7 * number)) for number, user in enumerate(("ann", "bob", "cat", "dan"))]
    await metrics.count(*(event("acme", user, day.isoformat()) for user, day in days))
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        yield ask


async def test_an_account_says_how_long_each_step_took(ask):
    status, said = await ask(PATH)
    assert (status, said["status"], said["production"]["days"], said["target_days"]) == (200, "met", 19, 30)
    steps = ("first_user", "adoption_25", "adoption_50", "adoption_75")
    assert [said[step]["days"] for step in steps] == [24, 24, 31, 38]
    assert [said[step]["days_from_production"] for step in steps] == [5, 5, 12, 19]


async def test_the_days_are_those_on_which_history_says_the_same(ask):
    _, said = await ask(PATH)
    _, history = await ask("/api/v1/accounts/acme/history", **{"from": "2026-05-01", "to": "2026-08-24"})
    for percent in (25, 50, 75):
        first = next(
            one["as_of"]
            for one in history
            if one["adoption"]["value"] is not None
            and Fraction(one["adoption"]["num"], one["adoption"]["den"]) >= Fraction(percent, 100)
        )
        assert said[f"adoption_{percent}"]["on"] == first


async def test_the_list_tells_of_every_account_what_it_tells_alone(ask):
    status, listed = await ask("/api/v1/time-to-value")
    assert (status, [one["account"] for one in listed]) == (200, ["acme", "new"])
    assert listed == [(await ask(f"/api/v1/accounts/{one['account']}/time-to-value"))[1] for one in listed]
    new = listed[1]
    assert (new["status"], new["production"]["reason"], new["first_user"]["reason"]) == (
        "running",
        "no_production_date",
        "no_active_user",
    )


async def test_the_list_comes_as_csv(ask):
    _, text = await ask("/api/v1/time-to-value", format="csv")
    head, acme, new = text.splitlines()
    assert head.startswith("account,as_of,contract_start,target_days,status,production.on,production.days")
    assert acme.startswith("acme,2026-08-25,2026-05-01,30,met,2026-05-20,19,0,,2026-05-25,24,5,")
    assert new.startswith("new,2026-08-25,2026-08-01,30,running,,,,no_production_date,")


async def test_an_unknown_account_is_not_found(ask):
    assert (await ask("/api/v1/accounts/nobody/time-to-value"))[0] == 404


async def test_linked_ids_are_one_person_in_the_list_as_alone(ask, metrics, fact):
    before = (await ask(PATH))[1]["adoption_50"]["days"]
    await metrics.learn(fact("user.linked", account="acme", user="ann", other="bob"))
    alone = (await ask(PATH))[1]
    assert alone["adoption_50"]["days"] == before + 7
    assert (await ask("/api/v1/time-to-value"))[1][0] == alone


async def test_what_pings_tell_is_reached_on_the_day_on_which_history_says_so(ask, metrics, fact):
    told = {"account": "pinged", "production_date": "2026-07-01", "contract_start": "2026-06-01", "telemetry": "pings"}
    await metrics.learn(
        fact("account.updated", **told),
        fact("license.issued", account="pinged", license="l", seats=10),
        *(
            fact("usage.ping", f"2026-07-{day}T10:00:00Z", account="pinged", day=f"2026-07-{day}", mau=mau)
            for day, mau in ((10, 2), (14, 3), (20, 6))
        ),
    )
    await metrics.board.refresh()
    said = (await ask("/api/v1/accounts/pinged/time-to-value"))[1]
    assert [said[f"adoption_{share}"]["on"] for share in (25, 50, 75)] == ["2026-07-14", "2026-07-20", None]
    assert (said["first_user"]["reason"], said["adoption_75"]["reason"]) == ("no_active_user", "not_reached")


async def test_one_account_comes_as_csv_as_in_the_list(ask):
    _, every = await ask("/api/v1/time-to-value", format="csv")
    _, alone = await ask("/api/v1/accounts/acme/time-to-value", format="csv")
    head, *lines = every.splitlines()
    assert alone.splitlines() == [head, *(line for line in lines if line.startswith("acme,"))]


@pytest.mark.parametrize("far", ["0001-01-01", "1969-12-31", "2200-01-01", "9999-12-31"])
async def test_no_date_however_far_is_an_error(ask, metrics, fact, event, far):
    await metrics.learn(
        fact("account.updated", account="far", production_date=far, contract_start=far, seats_basis="addressable"),
        fact("account.updated", "9999-12-31T00:00:00Z", account="far", addressable=4, time_zone="Pacific/Kiritimati"),
        fact("license.issued", account="far", license="l", seats=4, starts_at=f"{far}T00:00:00Z"),
        fact("license.issued", account="far", license="m", seats=4, expires_at=f"{far}T23:59:59Z"),
    )
    await metrics.count(event("far", "ann", "2026-08-20"))
    await metrics.publish()
    await metrics.board.refresh()
    status, said = await ask("/api/v1/accounts/far/time-to-value")
    assert (status, said["production"]["on"], said["first_user"]["on"]) == (200, far, "2026-08-21")
    days = {"from": "2026-08-20", "to": "2026-08-24"}
    for path, query in (
        ("/api/v1/time-to-value", {}),
        ("/api/v1/accounts/far/kpis", {}),
        ("/api/v1/accounts/far/explain", {}),
        ("/api/v1/accounts/far/changes", days),
        ("/api/v1/accounts/far/history", days | {"revisions": "all"}),
        ("/api/v1/accounts", {}),
    ):
        assert (await ask(path, **query))[0] == 200, path


async def test_a_first_user_of_the_first_days_that_are_counted(ask, metrics, event, fact):
    """January and February of 1970 have no whole window before them; a first user needs none."""
    await metrics.count(event("old", "ann", "1970-01-02"), event("old", "ann", "1970-02-28"), import_id="old")
    await metrics.learn(
        fact("account.updated", account="old", production_date="1970-01-01", contract_start="1970-01-01"),
        fact("license.issued", "1970-01-01T00:00:00Z", account="old", license="l", seats=1),
    )
    await metrics.board.refresh()
    status, said = await ask("/api/v1/accounts/old/time-to-value")
    assert (status, said["first_user"]["on"], said["first_user"]["days"]) == (200, "1970-01-02", 1)
    assert said["adoption_75"]["on"] == "1970-03-01"  # of which the whole window is counted


async def test_the_policy_decides_whether_there_is_an_adoption_here_as_in_the_numbers(ask, metrics, fact):
    await metrics.learn(fact("account.updated", account="acme", policy="no-such"))
    said = (await ask(PATH))[1]
    assert [said[f"adoption_{share}"]["reason"] for share in (25, 50, 75)] == ["unknown_policy"] * 3
