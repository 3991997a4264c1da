"""`history?revisions=all`: everything that was ever published of a day, and what made each revision of it."""

from datetime import date, timedelta

import pytest

from uptake.subjects import SHARDS
from uptake_metrics.config import Config
from uptake_metrics.reconfiguring import Reconfiguring

PATH = "/api/v1/accounts/acme/history"
LAST = date(2026, 8, 24)
DAY = date(2026, 8, 20)


@pytest.fixture
async def ask(asking, metrics, event, fact):
    """ann every day, in production for long, four seats, published."""
    await metrics.learn(
        fact("account.updated", account="acme", production_date="2026-01-01"),
        fact("license.issued", account="acme", license="main", seats=4),
    )
    await metrics.count(*(event("acme", "ann", (LAST - timedelta(days=n)).isoformat()) for n in range(60)))
    await metrics.publish()
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        yield ask


@pytest.fixture
def newest(ask, metrics, clock):
    """Publish, an hour later, what is due, and return the newest revision of the day."""

    async def newest(day=DAY):
        clock.forward(hours=1)
        await metrics.publish()
        status, found = await ask(PATH, **{"from": str(day), "to": str(day), "revisions": "all"})
        assert status == 200
        assert [one["revision"] for one in found] == list(range(1, len(found) + 1))
        return found[-1]

    return newest


def differing(revision):
    return {one["field"]: (one["before"], one["after"]) for one in revision["differs"]}


async def test_a_day_that_closed_has_one_revision_that_differs_from_nothing(newest):
    one = await newest()
    assert (one["revision"], one["causes"], one["differs"], one["facts"]) == (1, ["day_closed"], [], [])
    assert (one["kpis"]["mau"], one["published_at"]) == (1, "2026-08-25T12:00:00Z")


async def test_usage_that_came_late_is_the_cause_where_counts_moved_and_nothing_else_speaks(newest, metrics, event):
    await metrics.count(event("acme", "bob", str(DAY)))
    one = await newest()
    assert (one["revision"], one["causes"], one["facts"], one["import_id"]) == (2, ["usage"], [], None)
    assert differing(one)["kpis.mau"] == (1, 2)
    assert one["published_at"] == "2026-08-25T13:00:00Z"


async def test_an_import_is_named(newest, metrics, event, fact):
    await metrics.learn(fact("import.started", import_id="job-1", reason="history"))
    await metrics.count(event("acme", "old", str(DAY)), import_id="job-1")
    await metrics.learn(fact("import.finished", import_id="job-1", usage_sequence=0, accepted=1, refused=0))
    one = await newest()
    assert (one["causes"], one["import_id"]) == (["import"], "job-1")


@pytest.mark.parametrize(
    ("kind", "said", "cause", "field"),
    [
        ("license.issued", {"license": "more", "seats": 2}, "license", "kpis.adoption.den"),
        ("license.revoked", {"license": "main"}, "license", "kpis.adoption.reason"),
        ("account.updated", {"production_date": "2026-03-01"}, "production_date", "kpis.adoption.n"),
        ("account.updated", {"policy": "ta-2022"}, "policy", "kpis.adoption.policy"),
        ("account.updated", {"seats_basis": "none"}, "seats", "kpis.adoption.basis"),
        ("account.updated", {"telemetry": "none"}, "telemetry", "kpis.usage.reason"),
    ],
)
async def test_a_fact_that_moved_a_number_is_named(newest, metrics, fact, kind, said, cause, field):
    news = fact(kind, account="acme", **said)
    await metrics.learn(news, fact("feedback.submitted", account="acme", theme="speed", impact="P1", text="slow"))
    one = await newest()
    assert (one["causes"], [said["id"] for said in one["facts"]]) == ([cause], [news.event.id])
    assert field in differing(one)


async def test_a_link_between_ids_is_named(newest, metrics, event, fact):
    await metrics.count(event("acme", "bob", str(DAY)))
    await newest()
    await metrics.learn(fact("user.linked", account="acme", user="ann", other="bob"))
    one = await newest()
    assert (one["revision"], one["causes"]) == (3, ["links"])
    assert differing(one)["kpis.mau"] == (2, 1)


async def test_two_causes_at_once_are_both_named(newest, metrics, event, fact):
    await metrics.count(event("acme", "bob", str(DAY)))
    await metrics.learn(fact("license.issued", account="acme", license="more", seats=2))
    assert (await newest())["causes"] == ["license", "usage"]


@pytest.fixture
async def pinged(ask, metrics, fact):
    """An account of which only pings tell: one of the 18th, and of every day since."""
    await metrics.learn(
        fact("account.updated", account="pinged", telemetry="pings"),
        *(
            fact("usage.ping", f"2026-08-{n}T20:00:00Z", account="pinged", day=f"2026-08-{n}", mau=30)
            for n in range(18, 25)
        ),
    )
    await metrics.publish()
    await metrics.board.refresh()

    async def of(day):
        await metrics.publish()
        path = "/api/v1/accounts/pinged/history"
        return (await ask(path, **{"from": str(day), "to": str(day), "revisions": "all"}))[1]

    return of


async def test_a_ping_is_named_on_the_days_that_go_by_it_and_on_no_other(pinged, metrics, fact, event):
    late = fact("usage.ping", "2026-08-20T21:00:00Z", account="pinged", day="2026-08-20", mau=33)
    other = fact("usage.ping", "2026-08-22T19:00:00Z", account="pinged", day="2026-08-21", mau=30)  # says nothing new
    await metrics.learn(late, other)
    await metrics.count(event("pinged", "ann", "2026-08-24"))  # wins over the ping of that day
    revised = (await pinged(DAY))[-1]
    assert (revised["revision"], revised["causes"]) == (2, ["ping"])
    assert [one["id"] for one in revised["facts"]] == [late.event.id]
    assert differing(revised)["kpis.mau"] == (30, 33)
    by_events = (await pinged(LAST))[-1]
    assert (by_events["revision"], by_events["causes"], by_events["facts"]) == (2, ["usage"], [])
    assert differing(by_events)["kpis.source_of_counts"] == ("pings", "events")


async def test_a_ping_that_only_came_after_a_silence_is_named_too(ask, metrics, fact, event):
    await metrics.count(event("silent", "ann", "2026-08-10"))
    await metrics.publish()
    ping = fact("usage.ping", "2026-08-20T10:00:00Z", account="silent", day="2026-07-01", mau=3)
    await metrics.learn(ping)
    await metrics.publish()
    path, days = "/api/v1/accounts/silent/history", {"from": "2026-08-20", "to": "2026-08-20"}
    revised = (await ask(path, **days, revisions="all"))[1][-1]
    assert (revised["causes"], [one["id"] for one in revised["facts"]]) == (["ping"], [ping.event.id])
    assert differing(revised)["kpis.data_health"] == ("stale", "fresh")


async def test_a_ping_that_names_only_the_installation_is_named(ask, metrics, fact):
    def ping(day, mau):
        return fact("usage.ping", f"2026-08-{day}T20:00:00Z", instance="i-1", day=f"2026-08-{day}", mau=mau)

    await metrics.learn(
        fact("account.updated", account="onsite", telemetry="pings"),
        fact("instance.mapped", instance="i-1", account="onsite"),
        *(ping(day, 30) for day in (18, 20, 24)),
        fact("usage.ping", "2026-08-20T20:00:00Z", instance="i-2", day="2026-08-20", mau=7),
    )
    await metrics.publish()
    corrected = ping(20, 31)
    await metrics.learn(corrected, fact("usage.ping", "2026-08-20T20:30:00Z", instance="i-2", day="2026-08-20", mau=8))
    await metrics.publish()
    path, days = "/api/v1/accounts/onsite/history", {"from": str(DAY), "to": str(DAY)}
    one = (await ask(path, **days, revisions="all"))[1][-1]
    assert (one["causes"], [said["id"] for said in one["facts"]]) == (["ping"], [corrected.event.id])


async def test_a_heartbeat_that_makes_an_unknown_count_nobody_is_a_contact(ask, metrics, fact):
    await metrics.learn(
        fact("account.updated", account="new", owner="kim"),
        fact("instance.mapped", instance="i-1", account="new"),
    )
    await metrics.publish()
    await metrics.learn(fact("instance.heartbeat", "2026-08-24T10:00:00Z", instance="i-1"))
    await metrics.publish()
    path, days = "/api/v1/accounts/new/history", {"from": str(LAST), "to": str(LAST)}
    one = (await ask(path, **days, revisions="all"))[1][-1]
    assert (one["revision"], one["causes"]) == (2, ["contact"])
    assert differing(one)["kpis.mau"] == (None, 0)


async def test_a_sign_of_life_is_a_contact(newest, metrics, event, ask, clock):
    await metrics.count(event("quiet", "ann", "2026-08-10"))
    await metrics.publish()
    await metrics.count(event("quiet", "bot", "2026-08-14", actor="system"))
    await metrics.publish()
    query = {"from": "2026-08-16", "to": "2026-08-16", "revisions": "all"}
    _, found = await ask("/api/v1/accounts/quiet/history", **query)
    assert [one["causes"] for one in found] == [["day_closed"], ["contact"]]


async def test_who_the_account_is_moves_its_newest_day(newest, metrics, fact):
    await metrics.learn(fact("account.updated", account="acme", owner="kim"))
    one = await newest(LAST)
    assert (one["causes"], differing(one)) == (["attributes"], {"owner": (None, "kim")})


async def test_a_change_of_the_policy_file_is_told_without_a_fact(newest, metrics, tmp_path):
    metrics.evaluation.config = config = Config(tmp_path)
    config.write_defaults()
    following = Reconfiguring(
        metrics.engine, config, metrics.counting, metrics.register, lambda: frozenset(range(SHARDS))
    )
    await following.follow()
    shipped = (tmp_path / "policies.yml").read_text()
    (tmp_path / "policies.yml").write_text(shipped.replace("{day: 181, target: 75 %}", "{day: 181, target: 60 %}"))
    await following.follow()
    one = await newest()
    assert (one["causes"], one["facts"]) == (["policy"], [])
    assert differing(one)["kpis.adoption.target"] == (0.75, 0.6)


async def test_every_revision_of_every_day_is_a_row_in_order(newest, metrics, event, ask):
    await metrics.count(event("acme", "bob", str(LAST - timedelta(days=1))))
    await newest(LAST)
    query = {"from": str(LAST - timedelta(days=2)), "to": str(LAST), "revisions": "all"}
    _, found = await ask(PATH, **query)
    assert [(one["as_of"], one["revision"]) for one in found] == [
        ("2026-08-22", 1),
        ("2026-08-23", 1),
        ("2026-08-23", 2),
        ("2026-08-24", 1),
        ("2026-08-24", 2),
    ]
    _, text = await ask(PATH, **query, format="csv")
    assert len(text.splitlines()) == 6
    assert text.startswith("account,as_of,revision,published_at,causes,import_id,facts,differs,kpis.account,")


async def test_the_newest_revision_is_what_the_day_says_now(newest, metrics, event, ask):
    await metrics.count(event("acme", "bob", str(DAY)))
    one = await newest()
    _, (now,) = await ask(PATH, **{"from": str(DAY), "to": str(DAY)})
    assert one["kpis"] == now


async def test_a_day_that_was_never_published_has_no_revision(ask):
    assert await ask(PATH, **{"from": "2026-01-01", "to": "2026-01-05", "revisions": "all"}) == (200, [])
    assert (await ask(PATH, **{"from": "2026-01-01", "to": "2026-01-05", "revisions": "some"}))[0] == 400
