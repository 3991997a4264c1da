"""What alerting answers about storms that it holds back, and to whoever lets them go."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from uptake_alerting.tables import breaker, episode

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
HELD = {"rule": "usage-unhealthy", "tripped_at": NOW - timedelta(minutes=5), "until": NOW + timedelta(days=1)}
HELD |= {"breaching": 30, "accounts": 90}


@pytest.fixture
async def held(engine):
    over = HELD | {"rule": "seats-exceeded", "until": NOW}
    async with engine.begin() as connection:
        await connection.execute(insert(breaker).values([HELD, over]))


@pytest.mark.usefixtures("held")
async def test_a_storm_is_listed_until_somebody_lets_it_go_once(fire, call, engine):
    await fire("acme", NOW, rule="usage-unhealthy")
    (storm,) = (await call("GET", "/breakers")).json()
    assert (storm["rule"], storm["breaching"], storm["accounts"]) == ("usage-unhealthy", 30, 90)
    answers = [(await call("POST", "/breakers/usage-unhealthy/release", {"by": by})).json() for by in ("ann", "bob")]
    assert [answer["changed"] for answer in answers] == [True, False]
    assert [answer["storm"]["released_by"] for answer in answers] == ["ann", "ann"]
    assert (await call("GET", "/breakers")).json() == []
    async with engine.connect() as connection:
        assert await connection.scalar(select(episode.c.look_at).where(episode.c.subject == "acme")) == NOW


@pytest.mark.parametrize(
    ("rule", "body", "status", "error"),
    [("nothing", {"by": "ann"}, 404, "nothing_held"), ("usage-unhealthy", {}, 400, "invalid_request")],
)
@pytest.mark.usefixtures("held")
async def test_what_is_not_held_cannot_be_let_go(call, rule, body, status, error):
    answer = await call("POST", f"/breakers/{rule}/release", body)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
