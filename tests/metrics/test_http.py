"""The answers of metrics over HTTP: one number everywhere, and a clear problem for what cannot be answered."""

from datetime import date, timedelta
from urllib.parse import quote

import pytest

from uptake_metrics.answers import accounts
from uptake_metrics.exporter import Exporter

TODAY = date(2026, 8, 25)
LAST = date(2026, 8, 24)


@pytest.fixture
async def ask(asking, metrics, event, fact):
    """Two weeks of one user and a day of another, 4 seats, published."""
    await metrics.count(
        *(event("acme", "ann", (TODAY - timedelta(days=n)).isoformat()) for n in range(14)),
        event("acme", "bob", "2026-08-20", "view"),
    )
    await metrics.learn(
        fact("account.updated", account="acme", name="Acme", owner="kim", production_date="2026-01-01"),
        fact("license.issued", account="acme", license="l", seats=4),
        fact("account.updated", account="silent", region="emea"),
    )
    await metrics.publish()
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        yield ask


async def test_the_books_say_what_became_of_every_event(ask, metrics):
    status, books = await ask("/api/v1/books")
    everything = {"accepted": 15, "stored": 15, "processed": 15, "refused": 0}
    row = {"account": "acme", "hour": "1970-01-01T00:00:00Z", **everything, "balanced": True}
    assert (status, books) == (
        200,
        {"balanced": True, "totals": everything, "missing": 0, "rows": [row], "truncated": False},
    )
    assert (await ask("/api/v1/books", account="silent"))[1]["rows"] == []
    assert (await ask("/api/v1/books", account="acme", limit=0))[1]["truncated"]
    later = (await ask("/api/v1/books", **{"from": "2026-08-25T00:00:00Z"}))[1]
    assert (later["totals"]["stored"], later["rows"]) == (0, [])
    assert (await ask("/api/v1/books", limit=-1))[0] == 400


async def test_the_numbers_are_the_same_everywhere(ask, metrics):
    _, (acme, silent) = await ask("/api/v1/accounts")
    assert (acme["account"], acme["owner"], acme["seats"], silent["account"]) == ("acme", "kim", 4, "silent")
    for line in (acme, silent):
        name = line["account"]
        assert await ask(f"/api/v1/accounts/{name}/kpis") == (200, line["kpis"])
        assert await ask(f"/api/v1/accounts/{name}/kpis", as_of=TODAY) == (200, line["kpis"])
        span = {"from": TODAY, "to": TODAY}
        assert await ask(f"/api/v1/accounts/{name}/history", **span) == (200, [line["kpis"]])
    text = b"".join(await Exporter(metrics.board, lambda: frozenset(range(16))).text()).decode()
    for gauge, value in {
        "dau": acme["kpis"]["dau"],
        "mau": acme["kpis"]["mau"],
        "seats": 4,
        "adoption_ratio": acme["kpis"]["adoption"]["value"],
        "adoption_target_ratio": acme["kpis"]["adoption"]["target"],
        "usage_ratio": acme["kpis"]["usage"]["value"],
    }.items():
        assert value is not None
        assert f'uptake_account_{gauge}{{account="acme"}} {value}\n' in text
    assert 'mau{account="silent"}' not in text


async def test_today_is_open_and_a_closed_day_has_a_revision(ask, metrics, event):
    _, today = await ask("/api/v1/accounts/acme/kpis")
    assert (today["as_of"], today["partial"], today["revision"], today["dau"]) == ("2026-08-25", True, 0, 1)
    _, closed = await ask("/api/v1/accounts/acme/kpis", as_of=LAST)
    assert (closed["partial"], closed["revision"]) == (False, 1)
    await metrics.count(event("acme", "late", LAST.isoformat()))
    await metrics.publish()
    _, closed = await ask("/api/v1/accounts/acme/kpis", as_of=LAST)
    assert (closed["revision"], closed["mau"]) == (2, 3)
    _, lines = await ask("/api/v1/accounts", as_of=LAST)
    assert lines[0]["kpis"] == closed
    _, history = await ask("/api/v1/accounts/acme/history", **{"from": LAST - timedelta(days=1), "to": TODAY})
    assert [one["revision"] for one in history] == [1, 2, 0]


async def test_what_was_published_is_what_is_answered(ask, metrics):
    bodies = await metrics.rows("SELECT day, body FROM metrics.snapshot WHERE subject = 'account:acme'")
    assert len(bodies) == 13
    for day, body in bodies:
        assert await ask("/api/v1/accounts/acme/kpis", as_of=day) == (200, body["kpis"])


async def test_any_past_day_can_be_asked_for(ask):
    status, kpis = await ask("/api/v1/accounts/acme/kpis", as_of="1999-12-31")
    assert (status, kpis["mau"], kpis["adoption"]["reason"]) == (200, 0, "no_production_date")
    _, lines = await ask("/api/v1/accounts", as_of="1999-12-31")
    assert [line["kpis"]["mau"] for line in lines] == [0, None]


@pytest.mark.parametrize(
    ("query", "users"),
    [
        ({}, ["ann", "bob"]),
        ({"window": "mau"}, ["ann", "bob"]),
        ({"window": "dau"}, ["ann"]),
        ({"window": "wau", "feature": "view"}, ["bob"]),
        ({"feature": "nothing"}, []),
        ({"as_of": "2026-08-20", "window": "dau"}, ["ann", "bob"]),
        ({"as_of": "2020-01-01"}, []),
    ],
)
async def test_the_people_behind_a_count(ask, query, users):
    status, answer = await ask("/api/v1/accounts/acme/users", **query)
    assert (status, answer["users"], answer["count"]) == (200, users, len(users))
    assert answer["account"] == "acme"
    assert (answer["window"], answer["feature"]) == (query.get("window", "mau"), query.get("feature"))
    assert answer["as_of"] == query.get("as_of", "2026-08-25")


@pytest.mark.parametrize("what", ["kpis", "users", "history"])
async def test_an_unknown_account_is_not_found(ask, what):
    query = {"from": LAST, "to": LAST} if what == "history" else {}
    for name in ("nobody", "a%00b", "%20", "acme/kpis"):
        status, problem = await ask(f"/api/v1/accounts/{name}/{what}", **query)
        assert (status, problem["error"]) == (404, "unknown_account")


@pytest.mark.parametrize("as_of", ["2026-08-26", "9999-12-31", "1970-02-28", "0001-01-01"])
async def test_a_day_that_cannot_be_told_is_refused(ask, as_of):
    paths = [("/api/v1/accounts/acme/kpis", {"as_of": as_of}), ("/api/v1/accounts/acme/users", {"as_of": as_of})]
    paths += [
        ("/api/v1/accounts/acme/history", query) for query in ({"from": as_of, "to": LAST}, {"from": LAST, "to": as_of})
    ]
    paths += [("/api/v1/accounts", {"as_of": as_of})] * (as_of != "2026-08-26")  # there, it has begun somewhere
    for path, query in paths:
        status, problem = await ask(path, **query)
        assert (status, problem["error"]) == (400, "invalid_day"), path


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("kpis?as_of=yesterday", "as_of"),
        ("kpis?as_of=2026-02-30", "as_of"),
        ("kpis?as_of=", "as_of"),
        ("users?window=year", "window"),
        ("history?from=2026-08-01", "to"),
        ("history", "from"),
        ("history?from=x&to=2026-08-01", "from"),
    ],
)
async def test_a_question_that_is_none_names_its_field(ask, path, field):
    status, problem = await ask(f"/api/v1/accounts/acme/{path}")
    assert (status, problem["error"]) == (400, "invalid_request")
    assert problem["detail"].startswith(f"{field}: ")


async def test_a_history_has_limits(ask):
    def span(days):
        return {"from": LAST - timedelta(days=days - 1), "to": LAST}

    status, days = await ask("/api/v1/accounts/acme/history", **span(accounts.MAX_HISTORY_DAYS))
    assert (status, len(days), days[-1]["as_of"]) == (200, accounts.MAX_HISTORY_DAYS, LAST.isoformat())
    for refused in (span(accounts.MAX_HISTORY_DAYS + 1), {"from": LAST, "to": LAST - timedelta(days=1)}):
        status, problem = await ask("/api/v1/accounts/acme/history", **refused)
        assert (status, problem["error"]) == (400, "invalid_range")


NAMES = ["a/b", "a%2Fb", "a b", "ünï & Söhne", "𝕏", "a/kpis", "../x", "a?b#c", "a+b", ".", "100%", "x" * 200]


async def test_any_account_id_can_stand_in_the_path(asking, metrics, event):
    await metrics.count(*(event(name, "ann", "2026-08-25") for name in NAMES))
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        for name in NAMES:
            path = quote(name, safe="").replace(".", "%2E")
            status, kpis = await ask(f"/api/v1/accounts/{path}/kpis")
            assert (status, kpis["account"], kpis["mau"]) == (200, name, 1)
            status, users = await ask(f"/api/v1/accounts/{path}/users")
            assert (status, users["users"]) == (200, ["ann"])
        _, lines = await ask("/api/v1/accounts")
        assert [line["account"] for line in lines] == sorted(NAMES)


async def test_each_account_answers_for_its_own_day(asking, metrics, event, fact):
    await metrics.learn(fact("account.updated", account="east", time_zone="Pacific/Kiritimati"))
    await metrics.count(event("acme", "ann", "2026-08-25"), event("east", "ann", "2026-08-25"))
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        assert (await ask("/api/v1/accounts/east/kpis"))[1]["as_of"] == "2026-08-26"
        assert (await ask("/api/v1/accounts/acme/kpis", as_of="2026-08-26"))[0] == 400
        _, lines = await ask("/api/v1/accounts", as_of="2026-08-26")
        assert [line["account"] for line in lines] == ["east"]


async def test_trials_with_their_own_usage(asking, metrics, event, fact):
    def stage(name, at, **other):
        return fact("opportunity.stage_changed", at, account="acme", opportunity=name, **{"stage": 4} | other)

    await metrics.count(event("acme", "t", "2026-08-25", environment="trial"), event("acme", "ann", "2026-08-25"))
    await metrics.learn(
        stage("new", "2026-08-20T09:00:00Z"),
        stage("old", "2026-07-01T09:00:00Z", engineer="kim"),
        stage("early", "2026-07-01T09:00:00Z", stage=2),
        stage("over", "2026-06-01T09:00:00Z"),
        fact("trial.decided", "2026-06-10T09:00:00Z", opportunity="over", outcome="win"),
        fact("opportunity.stage_changed", "2026-08-01T09:00:00Z", account="bolt", opportunity="quiet", stage=4),
    )
    async with asking(metrics) as ask:
        status, found = await ask("/api/v1/trials")
    assert status == 200
    assert [(one["opportunity"], one["state"], one["cycle_days"], one["within"]) for one in found] == [
        ("old", "running", 55, False),
        ("quiet", "running", 24, False),
        ("new", "running", 5, True),
        ("over", "stopped", 9, True),
    ]
    assert found[0]["usage"] == {"as_of": "2026-08-25", "dau": 1, "wau": 1, "mau": 1, "reason": None}
    silent = {"as_of": "2026-08-25", "dau": None, "wau": None, "mau": None, "reason": "no_telemetry"}
    assert found[1]["usage"] == silent


async def test_an_import_is_running_then_applying_then_done(asking, metrics, event, fact):
    async with asking(metrics) as ask:
        path = "/api/v1/imports/a%2Fb"
        assert (await ask(path))[0] == 404
        await metrics.learn(fact("import.started", import_id="a/b", reason="history"))
        assert (await ask(path))[1] == {
            "import_id": "a/b",
            "reason": "history",
            "state": "running",
            "usage_sequence": None,
        }
        await metrics.count(event("acme", "ann", "2026-08-25"), import_id="a/b")  # an open day: nothing to evaluate
        await metrics.learn(fact("import.finished", import_id="a/b", usage_sequence=2, accepted=2, refused=0))
        assert (await ask(path))[1]["state"] == "applying"  # not all of it is counted
        await metrics.count(event("acme", "ann", "2026-08-02"), import_id="a/b")
        assert (await ask(path))[1]["state"] == "applying"  # counted, not evaluated
        await metrics.publish()
        assert (await ask(path))[1] == {"import_id": "a/b", "reason": "history", "state": "done", "usage_sequence": 2}


async def test_an_import_is_done_once_what_it_brought_of_installations_is_given_too(
    asking, metrics, event, fact, attribution_of
):
    await metrics.learn(
        fact("import.started", import_id="job", reason="history"),
        fact("instance.mapped", instance="i-1", account="acme"),
        fact("import.finished", import_id="job", usage_sequence=1, accepted=2, refused=0),
    )
    events = [event("", "ann", "2026-08-02", instance=name) for name in ("i-1", "nobody-s")]
    async with asking(metrics) as ask:

        async def state():
            return (await ask("/api/v1/imports/job"))[1]["state"]

        await metrics.publish()
        await metrics.count(*events, import_id="job")
        assert await state() == "applying"  # counted, and given to nobody
        await attribution_of(metrics).run_once()
        assert await state() == "applying"  # given, and not evaluated
        await metrics.publish()
        assert await state() == "done"  # whatever waits for a mapping that nobody has stated
        assert (await ask("/api/v1/accounts/acme/kpis", as_of="2026-08-02"))[1]["dau"] == 1


async def test_an_import_id_that_cannot_exist_is_no_crash(ask):
    assert (await ask("/api/v1/imports/%00"))[0] == 400


async def test_before_the_counts_are_there_nothing_is_answered_with_half_of_them(asking, metrics):
    async with asking(metrics, ready=False) as ask:
        for path in ("accounts", "accounts/acme/kpis", "trials", "imports/job"):
            status, problem = await ask(f"/api/v1/{path}")
            assert (status, problem["error"]) == (503, "starting")


async def test_without_its_database_it_says_so(asking, metrics, event, postgres_server):
    await metrics.count(event("acme", "ann", "2026-08-25"))
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        postgres_server.stop()
        try:
            status, problem = await ask("/api/v1/accounts/acme/kpis")
            assert (status, problem["error"]) == (503, "unavailable")
            assert (await ask("/api/v1/accounts"))[0] == 200  # that is in memory
        finally:
            postgres_server.start()
        async with metrics.engine.connect():  # the pool has noticed
            pass
        assert (await ask("/api/v1/accounts/acme/kpis"))[0] == 200


async def test_a_path_that_leads_nowhere(ask):
    for path in ("/api/v1/nothing", "/api/v1/accounts/acme"):
        status, problem = await ask(path)
        assert (status, problem["error"]) == (404, "not_found")


async def test_it_describes_itself(ask):
    status, described = await ask("/openapi.json")
    assert status == 200
    assert "/api/v1/accounts/{account}/kpis" in described["paths"]
