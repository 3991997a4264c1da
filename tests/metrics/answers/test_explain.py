"""`explain`: from its JSON alone, without any of our code, every number of the day can be computed again."""

import json
import math
import random
from datetime import date, datetime, timedelta
from fractions import Fraction

import pytest

PATH = "/api/v1/accounts/acme/explain"
LAST = date(2026, 8, 24)
DATES = {"production_date": "2026-03-01", "contract_start": "2026-01-10"}


@pytest.fixture
async def ask(asking, metrics):
    async with asking(metrics) as ask:
        yield ask


@pytest.fixture
async def used(metrics, event):
    """Half a year of eight people, in the evening, so that a day in Tokyo is not a day in New York."""
    rng = random.Random(8)
    plan = [
        event("acme", f"user-{user}", f"{LAST - timedelta(days=back)}T{rng.choice(['01', '14', '22'])}:30:00+00:00")
        for back in range(180)
        for user in range(8)
        if rng.random() < 0.3 / (user + 1)
    ]

    async def used(**account):
        await metrics.count(*plan)
        await metrics.board.refresh()
        return metrics

    return used


class Reader:
    """A person with paper and pencil: knows the sentences of the answer, and nothing of the program."""

    def __init__(self, said):
        self.said = said
        self.numbers = {one["name"]: one for one in said["numbers"]}

    def value(self, name):
        return self.numbers[name]["value"]

    def inputs(self, name):
        return self.numbers[name]["inputs"]

    def check(self):
        for check in (self.counts, self.windows, self.usage, self.seats, self.ladder, self.adoption, self.health):
            check()
        for number in self.said["numbers"]:
            assert (number["value"] is None) == (number["reason"] is not None), number
            assert number["formula"]
            if number["value"] is None:
                assert number["known_if"], number

    def counts(self):
        days = self.inputs("mau").get("days")
        if self.inputs("mau")["source"] != "events":
            assert days is None
            return
        assert [one["day"] for one in days] == [str(day) for day in days_to(self.said["as_of"], 30)]
        assert sum(one["newcomers"] for one in days) == self.value("mau")
        assert all(one["newcomers"] <= one["dau"] for one in days)
        assert days[-1]["dau"] == self.value("dau") <= self.value("wau") <= self.value("mau")

    def windows(self):
        for name, days in (("dau", 1), ("wau", 7), ("mau", 30), ("adoption", 30)):
            window = self.numbers[name]["window"]
            first, last = date.fromisoformat(window["first_day"]), date.fromisoformat(window["last_day"])
            assert ((last - first).days + 1, window["days"], str(last)) == (days, days, self.said["as_of"])
            elapsed = instant(window["ends_at"]) - instant(window["begins_at"])
            assert abs(elapsed - timedelta(days=days)) <= timedelta(hours=1)  # a clock that was put forward or back
        assert instant(self.said["closes_at"]) - instant(self.numbers["dau"]["window"]["ends_at"]) == timedelta(hours=2)

    def usage(self):
        of, value = self.inputs("usage"), self.value("usage")
        if value is None:
            return
        assert len(of["dau"]) == of["days"] <= 28
        ratio = Fraction(sum(of["dau"]), of["days"] * of["mau"])
        assert (sum(of["dau"]), of["days"] * of["mau"]) == (of["user_days"], of["days_x_mau"])
        assert self.numbers["usage"]["exact"] == f"{of['user_days']}/{of['days_x_mau']}"
        assert value == shown(ratio)
        healthy = ratio > Fraction(of["healthy_above"])
        concerning = ratio > Fraction(of["concerning_above"])
        assert of["status"] == ("healthy" if healthy else "concerning" if concerning else "poor")
        thirty = [one["dau"] for one in self.inputs("mau")["days"]]
        assert of["dau"] == thirty[-of["days"] :]
        assert of["usage_30_30"] == shown(Fraction(sum(thirty), 30 * of["mau"]))
        assert of["dau_mau_point"] == shown(Fraction(thirty[-1], of["mau"]))

    def seats(self):
        of = self.inputs("seats")
        end = instant(self.numbers["dau"]["window"]["ends_at"])
        assert instant(of["at_last_instant_before"]) == end
        held = {}
        for licence in self.said["licenses"]:
            begun = instant(licence["starts_at"]) < end
            ended = licence["expires_at"] is not None and instant(licence["expires_at"]) < end
            counts = begun and not ended and not licence["revoked"] and licence["environment"] == "production"
            assert counts == licence["in_force"]
            if counts:
                held[licence["license"]] = licence["seats"]
        assert of["in_force"] == held
        total = None
        if of["basis"] == "purchased" and "unlimited" not in held.values():
            total = sum(held.values()) or None
        elif of["basis"] == "addressable":
            total = of["addressable"]
        assert self.value("seats") == total

    def ladder(self):
        of, n = self.inputs("ladder_day"), self.value("ladder_day")
        if n is not None:
            assert n == (date.fromisoformat(of["as_of"]) - date.fromisoformat(of["anchor"])).days
            assert of["anchor"] == self.said["attributes"][of["anchor_is"]]
        steps = [(step["day"], Fraction(step["target"])) for step in self.inputs("target")["steps"] or []]
        reached = [place for place, (day, _) in enumerate(steps) if n is not None and n >= 0 and day <= n]
        if not reached:
            assert self.value("target") is self.value("pace") is None
            return
        place = reached[-1]
        begins, target = steps[place]
        assert self.value("target") == shown(target)
        if place + 1 == len(steps):
            assert self.value("pace") == shown(target)
            return
        before = steps[place - 1][1] if place else Fraction(0)
        b, band_end = max(0, begins - 1), steps[place + 1][0] - 1
        assert self.inputs("target")["band_end"] == band_end
        assert self.value("pace") == shown(before + (target - before) * Fraction(n - b, band_end - b))

    def adoption(self):
        of, value = self.inputs("adoption"), self.value("adoption")
        if value is None:
            return
        assert (of["mau"], of["seats"]) == (self.value("mau"), self.value("seats"))
        ratio, steps = Fraction(of["mau"], of["seats"]), self.inputs("target")["steps"]
        assert value == shown(ratio)
        due = [
            Fraction(step["target"])
            for step in steps
            if of["ladder_day"] is not None and step["day"] <= of["ladder_day"]
        ]
        if due:
            assert of["on_target"] == (ratio >= due[-1])
        if of["ladder_day"] is not None and of["ladder_day"] >= 30 and due:
            assert of["status"] == ("on_target" if of["on_target"] else "off_target")

    def health(self):
        of = self.inputs("data_health")
        judged = instant(of["judged_at"])
        heard = {
            kind: of[f"newest_{kind}"] and instant(of[f"newest_{kind}"]) for kind in ("event", "heartbeat", "ping")
        }
        newest = max((at for at in heard.values() if at), default=None)

        def recent(at):
            return at is not None and judged - at <= timedelta(days=30)

        limit = 48 if recent(heard["heartbeat"]) else 192 if recent(heard["ping"]) else 120
        assert of["limit_hours"] == limit
        stale = newest is not None and judged - newest > timedelta(hours=limit)
        assert self.value("data_health") == ("none" if newest is None else "stale" if stale else "fresh")


def shown(ratio):
    """Four decimals, half up."""
    return math.floor(ratio * 10_000 + Fraction(1, 2)) / 10_000


def instant(text):
    return datetime.fromisoformat(text)


def days_to(last, count):
    return [date.fromisoformat(last) - timedelta(days=back) for back in range(count - 1, -1, -1)]


async def read(ask, day, path=PATH):
    status, said = await ask(path, as_of=str(day))
    assert status == 200, said
    reader = Reader(json.loads(json.dumps(said)))
    reader.check()
    return reader


CASES = {
    "plain": ({}, [{"seats": 12}]),
    "several licences": (
        {"time_zone": "America/New_York"},
        [
            {"license": "a", "seats": 4, "expires_at": "2026-08-10T15:00:00Z"},
            {"license": "b", "seats": 6, "starts_at": "2026-05-05T15:00:00Z"},
            {"license": "t", "seats": 50, "environment": "trial"},
        ],
    ),
    "addressable": ({"seats_basis": "addressable", "addressable": 40}, [{"seats": "unlimited"}]),
    "unlimited without a number": ({}, [{"seats": "unlimited"}]),
    "no seats": ({"seats_basis": "none"}, [{"seats": 4}]),
    "contract ladder": ({"policy": "future-state", "time_zone": "Asia/Tokyo"}, [{"seats": 3}]),
    "unknown ladder": ({"policy": "nobody-knows"}, [{"seats": 3}]),
    "digital": ({"policy": "digital", "time_zone": "Pacific/Kiritimati"}, [{"seats": 5}]),
    "no production": ({"production_date": None}, [{"seats": 5}]),
    "young": ({"production_date": "2026-08-10", "time_zone": "Europe/Berlin"}, [{"seats": 7}]),
    "dark": ({"telemetry": "none"}, [{"seats": 7}]),
}


@pytest.mark.parametrize("name", CASES)
async def test_every_number_can_be_computed_again_by_hand(used, ask, fact, metrics, name):
    account, licences = CASES[name]
    await metrics.learn(
        fact("account.updated", account="acme", **DATES | account),
        *(fact("license.issued", account="acme", **{"license": "main"} | licence) for licence in licences),
        fact("license.revoked", "2026-08-01T10:00:00Z", account="acme", license="b"),
    )
    metrics = await used()
    for day in (LAST, date(2026, 8, 25), date(2026, 8, 10), date(2026, 8, 1), date(2026, 5, 29), date(2026, 3, 9)):
        reader = await read(ask, day)
        _, kpis = await ask("/api/v1/accounts/acme/kpis", as_of=str(day))
        assert reader.said["kpis"] == kpis
        told = {number: reader.value(number) for number in ("dau", "wau", "mau", "data_health")}
        assert told == {number: kpis[number] for number in told}
        assert (reader.value("usage"), reader.value("adoption")) == (kpis["usage"]["value"], kpis["adoption"]["value"])


async def test_a_number_that_is_not_known_says_why_and_what_would_make_it_known(used, ask, fact, metrics):
    await metrics.learn(fact("account.updated", account="acme", owner="kim"))
    await used()
    reader = await read(ask, LAST)
    for name, reason in {"seats": "no_seats", "adoption": "no_production_date", "target": "no_production_date"}.items():
        assert reader.numbers[name]["reason"] == reason
    assert "production licence" in reader.numbers["seats"]["known_if"]


async def test_an_account_that_only_pings_shows_its_ping(ask, fact, metrics):
    await metrics.learn(
        fact("account.updated", account="acme", telemetry="pings", **DATES),
        fact("license.issued", account="acme", license="main", seats=10),
        fact("usage.ping", "2026-08-22T10:00:00Z", account="acme", day="2026-08-22", mau=7, registered=9),
    )
    await metrics.board.refresh()
    reader = await read(ask, LAST)
    assert (reader.value("mau"), reader.value("adoption"), reader.value("usage")) == (7, 0.7, None)
    assert reader.inputs("mau") == {"source": "pings", "ping_day": "2026-08-22", "mau_at_most": None, "registered": 9}
    assert reader.numbers["usage"]["reason"] == reader.numbers["mau_calendar"]["reason"] == "no_daily_counts"


async def test_nothing_was_ever_heard_of_it(ask, fact, metrics):
    await metrics.learn(fact("account.updated", account="acme", **DATES))
    await metrics.board.refresh()
    reader = await read(ask, LAST)
    assert (reader.value("mau"), reader.numbers["mau"]["reason"]) == (None, "no_telemetry")
    assert reader.value("data_health") == "none"


async def test_every_attribute_names_the_fact_that_said_so(used, ask, fact, metrics):
    early = fact("account.updated", "2026-01-01T00:00:00Z", account="acme", policy="ce-2022", **DATES)
    later = fact("account.updated", "2026-08-10T09:00:00Z", account="acme", policy="digital")
    licence = fact("license.issued", "2026-02-01T00:00:00Z", account="acme", license="main", seats=12)
    await metrics.learn(early, later, licence)
    await used()
    for day, policy, source in ((date(2026, 8, 9), "ce-2022", early), (date(2026, 8, 10), "digital", later)):
        said = (await read(ask, day)).said
        assert (said["attributes"]["policy"], said["said_by"]["policy"]["id"]) == (policy, source.event.id)
        assert said["said_by"]["production_date"]["id"] == early.event.id
        assert said["said_by"]["segment"] is None
        assert said["licenses"][0]["fact"]["id"] == licence.event.id


async def test_the_revision_and_the_month_are_told(used, ask, fact, metrics, event):
    await used()
    await metrics.publish()
    await metrics.count(event("acme", "late", "2026-08-24"))
    await metrics.publish()
    reader = await read(ask, LAST)
    assert reader.said["revision"] == 2
    _, listed = await ask("/api/v1/accounts/acme/growth", **{"from": "2026-08", "to": "2026-08"})
    assert reader.value("mau_calendar") == listed[0]["active"]
    assert reader.numbers["mau_calendar"]["window"]["first_day"] == "2026-08-01"


async def test_the_list_behind_a_count_is_named_and_has_its_length(used, ask):
    await used()
    reader = await read(ask, LAST)
    for name in ("dau", "wau", "mau"):
        path, _, query = reader.inputs(name)["list"].partition("?")
        status, people = await ask(
            f"/api/v1/accounts/acme/{path}", **dict(part.split("=") for part in query.split("&"))
        )
        assert (status, people["count"]) == (200, reader.value(name))


async def test_what_cannot_be_answered_is_said(used, ask):
    await used()
    assert (await ask("/api/v1/accounts/nobody/explain"))[0] == 404
    assert (await ask(PATH, as_of="2027-01-01"))[0] == 400
