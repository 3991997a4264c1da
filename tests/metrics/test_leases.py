"""Shards are divided evenly, taken over from the dead and given back by the living."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import text

from uptake_metrics.leases import CUT_OFF_S, GONE_AFTER_S, LEAD, Leases, Tenure, share

NAMES = [LEAD, *(f"usage.{n}" for n in range(16))]


def divided(holders, alive):
    """What everybody holds once everybody has renewed twice, first giving up and then taking."""
    for _ in range(2):
        for replica in alive:
            mine = share(holders, alive, replica)
            holders = {
                name: replica if name in mine else None if holder == replica else holder
                for name, holder in holders.items()
            }
    return holders


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 16, 17, 20])
def test_every_share_is_even_and_nothing_is_left_over(replicas):
    alive = [f"r{n:02}" for n in range(replicas)]
    shares = Counter(divided(dict.fromkeys(NAMES), alive).values())
    assert None not in shares
    assert max(shares.values()) - min(shares[name] for name in alive) <= 1


def test_who_comes_gets_its_part_and_who_goes_leaves_it_to_the_others():
    alone = divided(dict.fromkeys(NAMES), ["a"])
    both = divided(alone, ["a", "b"])
    assert Counter(both.values()) == {"a": 9, "b": 8}
    assert {name for name in NAMES if both[name] == "a"} < {name for name in NAMES if alone[name] == "a"}
    assert divided(both, ["b"]) == dict.fromkeys(NAMES, "b")


def test_nothing_is_taken_from_a_replica_that_lives():
    holders = dict.fromkeys(NAMES, "a")
    assert share(holders, ["a", "b"], "b") == frozenset()


def test_an_even_share_stays_as_it_is():
    settled = divided(dict.fromkeys(NAMES), ["a", "b", "c"])
    assert divided(settled, ["a", "b", "c"]) == settled


async def test_replicas_find_each_other_in_the_database(engine):
    one, two = Leases(engine, "one"), Leases(engine, "two")
    await one.renew()
    assert one.held == set(NAMES)
    assert (one.leads, one.shards) == (True, set(range(16)))
    await two.renew()
    assert two.held == frozenset()  # the first has not given anything up yet
    await one.renew()
    await two.renew()
    assert one.held | two.held == set(NAMES)
    assert not one.held & two.held
    assert abs(len(one.held) - len(two.held)) == 1
    await one.release()
    assert one.held == frozenset()
    await two.renew()
    assert two.held == set(NAMES)


async def test_the_silent_are_gone_by_the_databases_clock(engine):
    silent, heir = Leases(engine, "silent"), Leases(engine, "heir")
    await silent.renew()
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE metrics.replica SET seen_at = seen_at - make_interval(secs => :s)"), {"s": GONE_AFTER_S + 1}
        )
    await heir.renew()
    assert heir.held == set(NAMES)
    await silent.renew()  # it was only paused: it finds out, and waits for its share
    assert silent.held == frozenset()


async def test_a_restart_takes_its_own_back_at_once(engine):
    await Leases(engine, "host:8402").renew()
    again = Leases(engine, "host:8402")
    await again.renew()
    assert again.held == set(NAMES)


async def test_many_at_once_end_with_everything_held_once(engine):
    replicas = [Leases(engine, f"r{n}") for n in range(5)]
    for _ in range(3):
        await asyncio.gather(*(one.renew() for one in replicas))
    held = [name for one in replicas for name in one.held]
    assert sorted(held) == sorted(NAMES)


async def test_who_is_cut_off_from_the_broker_leaves_its_leases_to_others(engine):
    connected, now = True, 100.0
    leases, other = Leases(engine, "one"), Leases(engine, "two")
    tenure = Tenure(leases, lambda: connected, lambda: now)
    await tenure.renew()
    assert leases.held == set(NAMES)
    connected, now = False, now + CUT_OFF_S
    await tenure.renew()
    assert leases.held == set(NAMES)  # it may be back in a moment
    now += 1
    await tenure.renew()
    await tenure.renew()
    await other.renew()
    assert (leases.held, other.held) == (frozenset(), set(NAMES))
    connected = True
    await tenure.renew()
    await other.renew()
    await tenure.renew()
    assert len(leases.held) in (8, 9)
