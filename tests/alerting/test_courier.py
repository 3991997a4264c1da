"""Delivery against a real PostgreSQL and a real receiver that misbehaves: no notice is lost, none is sent twice."""

import asyncio
import json
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.alerting.two_rules import RULES
from uptake_alerting import claims, evaluation, listing
from uptake_alerting.listing import Choice
from uptake_alerting.patience import Next

START = date(2026, 4, 1)
NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


@pytest.fixture
def ops(routes_file, receiver):
    """One webhook for everything."""
    channel = f"{{type: webhook, url: '{receiver.url}', secret: hush, allow_private: true}}"
    return routes_file(f"channels: {{ops: {channel}}}\ndefault: [ops]")


@pytest.fixture
def take(engine, account_day, look):
    """`B` off target, `C` on target, a day a letter from 1 April on; `first` moves it. Then whom to tell is planned."""

    async def run(routes, text, first=0, account="acme", now=NOW):
        days = [
            account_day(START + timedelta(days=first + i), 24 if letter == "B" else 60, account=account)
            for i, letter in enumerate(text)
        ]
        async with engine.begin() as connection:
            await evaluation.take(connection, days, RULES, now)
        await look(routes, now)

    return run


@pytest.fixture
def notices(engine):
    """Every delivery as `channel kind status reason attempts`."""

    async def run():
        async with engine.connect() as connection:
            found = await listing.alerts(connection, Choice(), 100, NOW)
        return sorted(f"{d.channel} {d.kind} {d.status} {d.reason} {d.attempts}" for a in found for d in a.deliveries)

    return run


@pytest.fixture
def drain(look):
    """How many attempts were due; after each one whom to tell is planned anew."""

    async def run(courier, routes, now):
        await look(routes, now)
        count = 0
        while await courier.deliver_one(now):
            count += 1
            await look(routes, now)
        return count

    return run


async def test_a_trigger_and_then_its_end_reach_the_same_channel_once_each(
    take, ops, courier_of, receiver, notices, drain
):
    courier, outcomes = courier_of(ops)
    await take(ops, "BBB")
    assert await drain(courier, ops, NOW) == 1
    await take(ops, "CCC", first=3)
    assert await drain(courier, ops, NOW) == 1
    assert await drain(courier, ops, NOW + timedelta(days=2)) == 0
    assert [json.loads(got.body)["kind"] for got in receiver.got] == ["trigger", "terminal"]
    assert len(set(receiver.keys)) == 2
    assert json.loads(receiver.got[1].body)["headline"].startswith("Resolved: Acme Corp is back")
    assert await notices() == ["ops terminal delivered ok 1", "ops trigger delivered ok 1"]
    assert outcomes.seen == [("webhook", "delivered", "ok")] * 2


async def test_a_trigger_that_is_still_waiting_when_its_episode_ends_is_dropped(
    take, ops, courier_of, receiver, notices, drain
):
    await take(ops, "BBB")
    await take(ops, "CCC", first=3)
    assert await drain(courier_of(ops)[0], ops, NOW) == 0
    assert receiver.got == []
    assert await notices() == ["ops trigger skipped episode_ended 0"]


async def test_after_an_error_of_the_server_the_same_request_comes_again(
    take, ops, courier_of, receiver, notices, drain
):
    receiver.answers = [500, 503, "drop"]
    courier, outcomes = courier_of(ops)
    await take(ops, "BBB")
    for attempt in range(4):
        assert await drain(courier, ops, NOW + timedelta(minutes=20 * attempt)) == 1
    assert len(set(receiver.keys)) == 1
    assert len({got.body for got in receiver.got}) == 1
    assert await notices() == ["ops trigger delivered ok 4"]
    assert [reason for _, _, reason in outcomes.seen] == ["http_5xx", "http_5xx", "network", "ok"]


async def test_nothing_is_tried_again_before_its_time(take, ops, courier_of, receiver, drain):
    receiver.answers = [500]
    courier, _ = courier_of(ops)
    await take(ops, "BBB")
    assert await drain(courier, ops, NOW) == 1
    assert await drain(courier, ops, NOW + timedelta(seconds=4.9)) == 0
    assert await drain(courier, ops, NOW + timedelta(seconds=10)) == 1


async def test_429_pauses_the_whole_destination_and_no_other(take, routes_file, courier_of, receiver, drain):
    receiver.answers, receiver.headers = [429], {"Retry-After": "100"}
    routes = routes_file(
        f"""
        channels:
          busy: {{type: webhook, url: "{receiver.url}/busy", allow_private: true, serves: [ce-1]}}
          calm: {{type: webhook, url: "{receiver.url}/calm", allow_private: true}}
        default: [calm]
        """
    )
    courier, _ = courier_of(routes)
    await take(routes, "BBB")
    assert await drain(courier, routes, NOW) == 1
    await take(routes, "BBB", account="second")
    assert await drain(courier, routes, NOW + timedelta(seconds=99)) == 0
    assert await drain(courier, routes, NOW + timedelta(seconds=101)) == 2
    assert {got.path for got in receiver.got} == {"/hook/busy"}


async def test_a_refusal_hands_over_to_the_default_channel_at_once(
    take, routes_file, courier_of, receiver, notices, engine, drain
):
    receiver.answers = [404]
    routes = routes_file(
        f"""
        channels:
          mine: {{type: webhook, url: "{receiver.url}/mine", allow_private: true, serves: [ce-1]}}
          ops: {{type: webhook, url: "{receiver.url}/ops", allow_private: true}}
        default: [ops]
        """
    )
    courier, _ = courier_of(routes)
    await take(routes, "BBB")
    assert await drain(courier, routes, NOW) == 2
    assert [got.path for got in receiver.got] == ["/hook/mine", "/hook/ops"]
    assert "this is a default channel, and mine failed" in json.loads(receiver.got[1].body)["why"]
    await take(routes, "CCC", first=3)
    assert await drain(courier, routes, NOW) == 1  # the end goes where the trigger arrived, and only there
    assert await notices() == [
        "mine trigger failed http_4xx 1",
        "ops terminal delivered ok 1",
        "ops trigger delivered ok 1",
    ]


@pytest.mark.parametrize("answer", [307, 400, 410])
async def test_an_alert_that_no_channel_takes_is_undeliverable(take, ops, courier_of, receiver, engine, answer, drain):
    receiver.answers, receiver.headers = [answer], {"Location": receiver.url}
    courier, _ = courier_of(ops)
    await take(ops, "BBB")
    assert await drain(courier, ops, NOW) == 1
    assert len(receiver.got) == 1
    async with engine.connect() as connection:
        assert (await listing.alerts(connection, Choice(), 1, NOW))[0].undeliverable
        assert await listing.undeliverable(connection) == {"adoption-below-target": 1}


async def test_a_private_target_that_nobody_allowed_gets_nothing(
    take, routes_file, courier_of, receiver, notices, drain
):
    routes = routes_file(f"channels: {{ops: {{type: webhook, url: '{receiver.url}'}}}}\ndefault: [ops]")
    await take(routes, "BBB")
    await drain(courier_of(routes)[0], routes, NOW)
    assert receiver.got == []
    assert await notices() == ["ops trigger failed private_address 1"]


async def test_a_channel_that_was_taken_out_hands_over(take, routes_file, courier_of, receiver, notices, drain):
    text = "channels: {{{}ops: {{type: webhook, url: '{}', allow_private: true}}}}\ndefault: [ops]"
    mine = f"mine: {{type: webhook, url: '{receiver.url}/mine', allow_private: true, serves: [ce-1]}}, "
    routes = routes_file(text.format(mine, receiver.url))
    await take(routes, "BBB")
    routes.path.write_text(text.format("", receiver.url))
    assert await drain(courier_of(routes)[0], routes, NOW) == 2
    assert await notices() == ["mine trigger skipped channel_removed 1", "ops trigger delivered ok 1"]


async def test_one_broken_channel_does_not_stop_the_other(take, routes_file, courier_of, receiver, notices, drain):
    routes = routes_file(
        f"""
        channels:
          broken: {{type: slack, url_file: /nowhere, serves: [ce-1]}}
          works: {{type: webhook, url: "{receiver.url}", allow_private: true, serves: [ce-1]}}
        """
    )
    await take(routes, "BBB")
    await drain(courier_of(routes)[0], routes, NOW)
    assert await notices() == ["broken trigger failed not_configured 1", "works trigger delivered ok 1"]


class Crash(Exception):
    """Stands for a process that dies between sending and recording."""


async def test_a_crash_between_send_and_record_makes_one_more_copy_under_the_same_key(
    take, ops, courier_of, receiver, notices, monkeypatch, drain
):
    courier, _ = courier_of(ops)
    await take(ops, "BBB")
    with monkeypatch.context() as patch:
        patch.setattr(claims, "finish", _crash)
        with pytest.raises(Crash):
            await courier.deliver_one(NOW)
    assert await drain(courier, ops, NOW + timedelta(seconds=59)) == 0  # the lease may still be somebody's
    assert await drain(courier, ops, NOW + timedelta(seconds=61)) == 1
    assert len(receiver.got) == 2
    assert len(set(receiver.keys)) == 1
    assert await notices() == ["ops trigger delivered ok 2"]


async def _crash(*_args):
    raise Crash


async def test_a_trigger_that_may_have_arrived_is_made_sure_of_and_then_gets_its_end(
    take, ops, courier_of, receiver, monkeypatch, drain
):
    courier, _ = courier_of(ops)
    await take(ops, "BBB")
    with monkeypatch.context() as patch:
        patch.setattr(claims, "finish", _crash)
        with pytest.raises(Crash):
            await courier.deliver_one(NOW)
    await take(ops, "CCC", first=3)
    assert await drain(courier, ops, NOW + timedelta(seconds=61)) == 2
    kinds = [json.loads(got.body)["kind"] for got in receiver.got]
    assert kinds == ["trigger", "trigger", "terminal"]
    assert len(set(receiver.keys)) == 2


async def test_an_episode_that_ends_while_its_trigger_is_under_way_gets_its_end_told(
    take, ops, courier_of, receiver, engine, drain
):
    courier, _ = courier_of(ops)
    await take(ops, "BBB")
    async with engine.begin() as connection:
        claimed = await claims.claim(connection, NOW)
    await take(ops, "CCC", first=3)
    async with engine.begin() as connection:
        await claims.finish(connection, claimed[0], Next("delivered", "ok"), NOW)
    assert await drain(courier, ops, NOW) == 1
    assert json.loads(receiver.got[0].body)["kind"] == "terminal"


async def test_who_lost_its_lease_records_nothing(take, ops, engine, notices):
    await take(ops, "BBB")
    async with engine.begin() as connection:
        slow = await claims.claim(connection, NOW)
    async with engine.begin() as connection:
        assert await claims.claim(connection, NOW + timedelta(seconds=59)) == []
    async with engine.begin() as connection:
        assert [one.id for one in await claims.claim(connection, NOW + timedelta(seconds=61))] == [slow[0].id]
    async with engine.begin() as connection:
        await claims.finish(connection, slow[0], Next("failed", "http_4xx"), NOW)
    assert await notices() == ["ops trigger sending None 2"]


async def test_two_replicas_make_one_notice_of_each_alert(take, ops, courier_of, receiver, notices, drain):
    for i in range(20):
        await take(ops, "BBB", account=f"a{i}")
    await asyncio.gather(*(drain(courier_of(ops)[0], ops, NOW) for _ in range(6)))
    assert len(receiver.got) == len(set(receiver.keys)) == 20
    assert await notices() == ["ops trigger delivered ok 1"] * 20


async def test_it_gives_up_after_a_day_and_says_so(take, ops, courier_of, receiver, notices, drain):
    receiver.answers = [500, 500]
    courier, _ = courier_of(ops)
    await take(ops, "BBB")
    await drain(courier, ops, NOW)
    await drain(courier, ops, NOW + timedelta(hours=24))
    assert await notices() == ["ops trigger failed gave_up 2"]


async def test_the_loop_ends_when_it_is_cancelled_and_finishes_what_it_sends(take, ops, courier_of, receiver, notices):
    await take(ops, "BBB")
    courier, _ = courier_of(ops)
    running = asyncio.create_task(courier.run())
    await receiver.arrived.wait()
    running.cancel()
    await asyncio.wait([running])
    assert await notices() == ["ops trigger delivered ok 1"]
