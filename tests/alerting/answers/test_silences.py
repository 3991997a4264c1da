"""What alerting answers about silences: made once, refused with a reason, ended early, and what each covers."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from uptake_alerting.tables import episode

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
ACME = {"matchers": ["account=acme"], "by": "ann", "comment": "they migrate", "for": "7d"}


@pytest.fixture
def looks(engine):
    """When each alert is looked at next, by subject."""

    async def run():
        async with engine.connect() as connection:
            return {row.subject: row.look_at for row in await connection.execute(select(episode))}

    return run


async def test_a_silence_covers_what_matches_and_has_it_looked_at(fire, call, looks):
    await fire("acme")
    await fire("beta")
    await fire("old", columns={"ended_at": NOW}, state="resolved")
    answer = (await call("POST", "/silences", ACME)).json()
    assert answer["changed"]
    assert answer["silence"] | {"id": "?"} == {
        "id": "?",
        "state": "active",
        "matchers": ["account=acme"],
        "created_by": "ann",
        "comment": "they migrate",
        "created_at": "2026-05-04T10:00:00Z",
        "starts_at": "2026-05-04T10:00:00Z",
        "ends_at": "2026-05-11T10:00:00Z",
        "expired_by": None,
        "covers": 1,
    }
    assert await looks() == {"acme": NOW, "beta": None, "old": None}
    assert (await call("GET", f"/silences/{answer['silence']['id']}")).json() == answer["silence"]
    assert (await call("GET", "/silences")).json() == [answer["silence"]]


@pytest.mark.parametrize(
    ("matchers", "covers"),
    [
        (["rule=adoption-below-target"], 2),
        (["region=emea", "account!=acme"], 1),
        (["severity=critical"], 1),
        (["owner=ce-9", "team=blue"], 1),
        (["acount=acme"], 0),
    ],
)
async def test_it_says_how_many_open_alerts_it_covers(fire, call, matchers, covers):
    await fire("acme", labels={"team": "blue"}, owner="ce-9")
    await fire("beta", severity="critical")
    answer = await call("POST", "/silences", ACME | {"matchers": matchers})
    assert answer.json()["silence"]["covers"] == covers


async def test_one_that_is_yet_to_come_has_alerts_looked_at_then_if_not_before(fire, call, looks):
    soon, start = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    await fire("acme")
    await fire("beta", columns={"look_at": soon})
    answer = await call("POST", "/silences", ACME | {"matchers": ["region=emea"], "starts_at": start.isoformat()})
    assert (answer.json()["silence"]["state"], answer.json()["silence"]["ends_at"]) == (
        "pending",
        "2026-05-11T12:00:00Z",
    )
    assert await looks() == {"acme": start, "beta": soon}


async def test_the_same_one_is_made_once_also_at_the_same_time(call):
    answers = await asyncio.gather(*(call("POST", "/silences", ACME) for _ in range(4)))
    assert sorted(answer.json()["changed"] for answer in answers) == [False, False, False, True]
    assert len({answer.json()["silence"]["id"] for answer in answers}) == 1
    for other in ({"by": "bob"}, {"comment": "else"}, {"for": "8d"}, {"matchers": ["account=beta"]}):
        assert (await call("POST", "/silences", ACME | other)).json()["changed"]
    assert len((await call("GET", "/silences")).json()) == 5


async def test_one_that_is_ended_early_has_its_alerts_looked_at(fire, call, clock, looks, engine):
    await fire("acme")
    made = (await call("POST", "/silences", ACME)).json()["silence"]
    async with engine.begin() as connection:
        await connection.execute(update(episode).values(look_at=None))
    clock.now = NOW + timedelta(hours=1)
    ended = [(await call("POST", f"/silences/{made['id']}/expire", {"by": name})).json() for name in ("bob", "cem")]
    assert [one["changed"] for one in ended] == [True, False]
    assert ended[0]["silence"] == made | {
        "state": "expired",
        "ends_at": "2026-05-04T11:00:00Z",
        "expired_by": "bob",
        "covers": 0,
    }
    assert await looks() == {"acme": clock.now}


async def test_one_that_has_not_begun_can_be_ended_too(call):
    made = (await call("POST", "/silences", ACME | {"starts_at": "2026-05-05T10:00:00Z"})).json()["silence"]
    ended = (await call("POST", f"/silences/{made['id']}/expire", {"by": "bob"})).json()
    assert (ended["silence"]["state"], ended["silence"]["starts_at"]) == ("expired", "2026-05-04T10:00:00Z")


async def test_the_list_is_of_a_state_and_by_default_of_what_matters(call, clock):
    for account, more in (("now", {}), ("later", {"starts_at": "2026-05-05T10:00:00Z"}), ("short", {"for": "1h"})):
        await call("POST", "/silences", ACME | {"matchers": [f"account={account}"]} | more)
    clock.now = NOW + timedelta(hours=1)

    async def listed(**query):
        return [one["matchers"][0].removeprefix("account=") for one in (await call("GET", "/silences", **query)).json()]

    assert await listed() == ["later", "now"]
    assert await listed(state="active") == ["now"]
    assert await listed(state="pending") == ["later"]
    assert await listed(state="expired") == ["short"]
    csv = (await call("GET", "/silences", format="csv")).text.splitlines()
    assert [line.split(",")[1:3] for line in csv] == [
        ["state", "matchers"],
        ["pending", "account=later"],
        ["active", "account=now"],
    ]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"matchers": []}, "a silence is refused: at least one matcher must ask for a value"),
        ({"matchers": ["account!=acme"]}, "a silence is refused: at least one matcher"),
        ({"matchers": ["account=~acme.*", "account="]}, "a silence is refused: two matchers"),
        ({"matchers": ["acme"]}, "matchers: 'acme' is no matcher: write NAME=VALUE or NAME!=VALUE"),
        ({"matchers": ["a=1"] * 21}, "matchers: "),
        ({"comment": " "}, "comment: say why"),
        ({"for": None}, "ends_at, for: give one of them"),
        ({"ends_at": "2026-05-05T10:00:00Z"}, "ends_at, for: give one of them"),
        ({"for": "31d"}, "a silence is refused: it is longer than 30 days"),
        ({"for": "0d"}, "a silence is refused: it ends before it starts"),
        ({"by": None}, "by: "),
        ({"starts_at": "0001-01-01T00:00:00Z"}, "starts_at: must lie in the years 1970 to 9000"),
        ({"starts_at": "9999-12-31T23:00:00Z"}, "starts_at: must lie in the years"),
        ({"for": None, "ends_at": "9999-12-31T23:59:59.999999Z"}, "ends_at: must lie in the years"),
    ],
)
async def test_a_wrong_one_is_refused_with_what_to_do(call, other, says):
    answer = await call("POST", "/silences", ACME | other)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.json()["detail"].startswith(says)


@pytest.mark.parametrize(("method", "path", "body"), [("GET", "s0", None), ("POST", "s0/expire", {"by": "ann"})])
async def test_one_that_nobody_knows(call, method, path, body):
    answer = await call(method, f"/silences/{path}", body)
    assert (answer.status_code, answer.json()["error"]) == (404, "unknown_silence")
    assert "`uptake silences` lists them" in answer.json()["detail"]
