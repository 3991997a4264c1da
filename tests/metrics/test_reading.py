"""What is leased is read, by readers that end when the leases change; nobody moves a shard that it did not read."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from uptake import subjects
from uptake.clock import utc_now
from uptake_metrics.leases import LEAD
from uptake_metrics.reading import Reading


class Held:
    """Leases that a test hands out."""

    def __init__(self, *shards, leads=True):
        self.give(*shards, leads=leads)

    def give(self, *shards, leads=False):
        self.shards, self.leads = frozenset(shards), leads
        self.held = frozenset({f"usage.{n}" for n in shards} | ({LEAD} if leads else set()))


@pytest.fixture
def run(client):
    @asynccontextmanager
    async def run(metrics, leases):
        reading = Reading(client, leases, metrics.register, metrics.counting, metrics._reject)
        task = asyncio.create_task(reading.run())
        try:
            yield reading
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return run


@pytest.fixture
def send(client, batches):
    async def send(*events):
        return [(await client.jetstream().publish(subject, data)).seq for subject, data in batches(events)][-1]

    return send


async def until(condition, expected=True):
    async with asyncio.timeout(20):
        while condition() != expected:  # noqa: ASYNC110  # a reader sets no event
            await asyncio.sleep(0.02)


def sequences(metrics):
    return {number: position.cursor.sequence for number, position in metrics.counting.positions.items()}


async def test_two_replicas_divide_the_work_and_each_knows_everything(metrics, metrics_of, event, send, run):
    other, names = metrics_of(), [f"n{n}" for n in range(40)]
    even, odd = Held(*range(0, 16, 2)), Held(*range(1, 16, 2), leads=False)
    async with run(metrics, even), run(other, odd):
        last = await send(*(event(name, "ann", "2026-08-25") for name in names))
        await until(lambda: {sequences(metrics)[n] for n in even.shards} == {last})
        await until(lambda: {sequences(other)[n] for n in odd.shards} == {last})
    for process in (metrics, other):
        await process.load()
        assert set(process.counting.accounts()) == set(names)
        assert process.counting.position.sequence == last


async def test_a_shard_that_comes_later_is_read_from_where_it_stood(metrics, event, send, run):
    accounts = {subjects.shard_of(name): name for name in map("n{}".format, range(400))}
    leases = Held(3)
    async with run(metrics, leases) as reading:
        first = await send(event(accounts[5], "ann", "2026-08-25"), event(accounts[3], "ann", "2026-08-25"))
        await until(lambda: sequences(metrics)[3] == first)
        assert sequences(metrics)[5] == 0
        leases.give(3, 5)
        await until(lambda: sequences(metrics)[5] == first)
        assert set(metrics.counting.accounts()) == {accounts[3], accounts[5]}
        await reading.look_at_facts()
        await until(lambda: reading.current_to is not None)
        leases.give()
        await until(lambda: reading.shards, frozenset())
        assert reading.current_to is None
        second = await send(event(accounts[3], "bob", "2026-08-25"))
        await asyncio.sleep(0.3)
        assert sequences(metrics)[3] == first
        leases.give(3, leads=True)
        await until(lambda: sequences(metrics)[3] == second)


async def test_only_the_leader_reads_facts_and_the_others_follow(metrics, metrics_of, client, fact, run):
    other = metrics_of()
    async with run(metrics, Held(0)) as leading, run(other, Held(1, leads=False)) as following:
        one = fact("account.updated", account="acme", owner="kim")
        await client.jetstream().publish(
            subjects.fact("account.updated", "crm", one.event.id), one.model_dump_json(exclude_unset=True).encode()
        )
        await until(lambda: metrics.register.account("acme").owner, "kim")
        assert (leading.problem_of_facts(), following.problem_of_facts()) == (None, None)
        assert other.register.account("acme").owner is None
        await other.load()
        assert other.register.account("acme").owner == "kim"
        assert set(leading.lag()) == {subjects.FACTS, subjects.USAGE}


async def test_all_is_read_up_to_an_instant_once_facts_are_too(metrics, metrics_of, fact, run, client, now):
    """Whoever reads FACTS: a replica that does not asks how far it goes, and how far it is stored."""
    follower, reader = Held(3, leads=False), Held(leads=True)
    async with run(metrics, follower) as reading:
        await until(lambda: reading._usage is not None and reading._usage.current_to is not None)
        assert reading.current_to is None  # nobody has looked
        before = utc_now()
        await reading.look_at_facts()
        await until(lambda: reading.current_to is not None)  # FACTS is empty, and stays so: that is no lag
        said = fact("account.updated", account="acme", owner="kim")
        subject = subjects.fact(said.event.type, said.source, said.event.id)
        await client.jetstream().publish(subject, said.model_dump_json().encode())
        await reading.look_at_facts()
        assert reading.current_to is None  # it is in the stream, and nobody has stored it
        other = metrics_of()
        async with run(other, reader):
            await until(lambda: other.register.position is not None and other.register.position.sequence == 1)
        await reading.look_at_facts()
        assert metrics.register.account("acme").owner == "kim"
        await until(lambda: reading.current_to is not None and reading.current_to > before)
        known = metrics.register.position.stored_at
        await client.jetstream().publish(subject + "x", said.model_dump_json().encode())
        await reading.look_at_facts()
        assert reading.current_to == known  # one more waits: all is known up to the one before it


async def test_of_another_stream_of_facts_nothing_is_known(metrics, fact, run, client):
    await metrics.learn(fact("account.updated", account="acme", owner="kim"))
    async with run(metrics, Held(3, leads=False)) as reading:
        await reading.look_at_facts()
        await until(lambda: reading._usage is not None and reading._usage.current_to is not None)
        assert reading.current_to is None
