"""The current numbers of every account, kept ready."""

import asyncio
from datetime import UTC, date, datetime

import pytest

TODAY = date(2026, 8, 25)


async def test_a_line_is_what_is_known_of_the_open_day(metrics, event, fact):
    await metrics.count(event("acme", "ann", "2026-08-25"), event("acme", "bob", "2026-08-20"))
    await metrics.learn(
        fact("account.updated", account="acme", production_date="2026-01-01"),
        fact("license.issued", account="acme", license="l", seats=4),
    )
    await metrics.board.refresh()
    line = metrics.board.lines["acme"]
    assert (line.kpis.as_of, line.kpis.partial) == (TODAY, True)
    assert (line.kpis.dau, line.kpis.wau, line.kpis.mau, line.seats) == (1, 2, 2, 4)
    assert line.kpis.adoption.value == 0.5


async def test_only_what_changed_is_written_again(metrics, event, fact):
    await metrics.count(event("acme", "ann", "2026-08-25"), event("bolt", "ann", "2026-08-25"))
    await metrics.board.refresh()
    acme, bolt, version = metrics.board.lines["acme"], metrics.board.lines["bolt"], metrics.board.version
    await metrics.board.refresh()
    assert metrics.board.version == version
    await metrics.count(event("acme", "bob", "2026-08-25"))
    await metrics.learn(fact("account.updated", account="zeta", owner="kim"))
    await metrics.board.refresh()
    assert metrics.board.lines["bolt"] is bolt
    assert metrics.board.lines["acme"] is not acme
    assert metrics.board.lines["zeta"].account.owner == "kim"
    assert metrics.board.version > version


async def test_a_new_day_begins_by_each_accounts_own_clock(metrics, event, fact, clock):
    await metrics.learn(fact("account.updated", account="east", time_zone="Pacific/Kiritimati"))
    await metrics.count(event("acme", "ann", "2026-08-25"), event("east", "ann", "2026-08-24"))
    await metrics.board.refresh()
    assert {name: line.kpis.as_of for name, line in metrics.board.lines.items()} == {
        "acme": TODAY,
        "east": date(2026, 8, 26),
    }
    clock.forward(hours=12)
    await metrics.board.refresh()
    acme = metrics.board.lines["acme"].kpis
    assert (acme.as_of, acme.dau, acme.mau) == (date(2026, 8, 26), 0, 1)
    assert metrics.board.lines["east"].kpis.as_of == date(2026, 8, 26)


async def test_silence_shows_within_the_day_without_any_event(metrics, fact, clock):
    await metrics.learn(
        fact("instance.mapped", instance="i-1", account="acme"),
        fact("instance.heartbeat", "2026-08-24T16:00:00Z", instance="i-1"),
    )
    found = []
    for hours in (0, 8, 19, 1, 1):  # the 25th at 12:00, 20:00; the 26th at 15:00, 16:00 (48 hours) and 17:00
        clock.forward(hours=hours)
        await metrics.board.refresh()
        found.append((metrics.board.lines["acme"].kpis.data_health, metrics.board.version))
    (noon, one), (evening, same), (_, next_day), (still, unmoved), (gone, moved) = found
    assert (noon, evening, still, gone) == ("fresh", "fresh", "fresh", "stale")
    assert one == same < next_day == unmoved < moved


async def test_after_a_failure_half_way_the_rest_is_done_the_next_time(metrics, event, monkeypatch):
    await metrics.count(*(event(f"n{n}", "ann", "2026-08-25") for n in range(9)))
    on, calls = metrics.tally.on, []

    async def fail_once(accounts):
        calls.append(accounts)
        if len(calls) == 2:
            raise ConnectionResetError("the database went away")
        return await on(accounts)

    with monkeypatch.context() as patch:
        patch.setattr("uptake_metrics.board._AT_A_TIME", 3)
        patch.setattr(metrics.tally, "on", fail_once)
        with pytest.raises(ConnectionResetError):
            await metrics.board.refresh()
    assert len(metrics.board.lines) == 3
    version = metrics.board.version
    await metrics.board.refresh()
    assert len(metrics.board.lines) == 9
    assert metrics.board.version > version


async def test_what_it_knows(metrics, event, fact):
    await metrics.count(event("acme", "bot", "2026-08-25", actor="system"))
    await metrics.learn(fact("account.updated", account="zeta", owner="kim"))
    assert [metrics.board.knows(name) for name in ("acme", "zeta", "nobody", "")] == [True, True, False, False]


async def test_another_day_of_every_account_that_has_reached_it(metrics, event, fact, clock):
    await metrics.learn(fact("account.updated", account="west", time_zone="Pacific/Pago_Pago"))
    await metrics.count(event("acme", "ann", "2026-08-25"), event("west", "ann", "2026-08-24"))
    clock.forward(hours=-3)  # 22:00 of the 24th in the west
    await metrics.board.refresh()
    assert {line.account.account for line in await metrics.board.on(TODAY)} == {"acme"}
    mau = {line.account.account: line.kpis.mau for line in await metrics.board.on(date(2026, 8, 24))}
    assert mau == {"acme": 0, "west": 1}


async def test_tens_of_thousands_of_accounts_leave_the_loop_to_others(metrics, fact):
    names = [f"account-{n}" for n in range(20_000)]
    metrics.register.touched.update(names)
    turns = await turns_during(metrics.board.refresh())
    assert len(metrics.board.lines) == 20_000
    assert turns >= 20_000 / 100
    assert await turns_during(metrics.board.on(date(2026, 8, 24))) >= 20_000 / 100


async def turns_during(work):
    """How often another task of the loop got its turn."""
    turns = 0

    async def tick():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    await work
    ticker.cancel()
    return turns


async def test_it_is_complete_when_every_account_has_its_line(metrics, event):
    await metrics.count(*(event(f"account-{n}", "ann", "2026-08-25") for n in range(120)))
    refresh = asyncio.create_task(metrics.board.refresh())
    while not refresh.done():
        assert not metrics.board.complete or len(metrics.board.lines) == 120
        await asyncio.sleep(0)
    assert metrics.board.complete
    assert len(metrics.board.lines) == 120


async def test_a_number_that_only_the_clock_moves_is_moved(metrics, event, fact, clock):
    """On the day after production nothing is closed yet before 02:00, and then one day is; nobody sends anything."""
    await metrics.learn(fact("account.updated", account="acme", production_date="2026-08-24"))
    await metrics.count(event("acme", "ann", "2026-08-24"))
    clock.now = datetime(2026, 8, 25, 1, 59, tzinfo=UTC)
    await metrics.board.refresh()
    assert metrics.board.lines["acme"].kpis.usage.reason == "no_closed_day"
    clock.forward(minutes=1)
    await metrics.board.refresh()
    assert metrics.board.lines["acme"].kpis.usage.value == 0.5
