"""A person is erased: the id is nowhere, every count of every day is what it was, and later events are nobody's."""

import asyncio
import json
from datetime import timedelta

import pytest
from nats.js.errors import NotFoundError

from uptake import subjects
from uptake.clock import utc_now
from uptake.messages.refusals import Refusal
from uptake.reader import Cursor, Entry, Fenced
from uptake_metrics import erasure_store, erasure_tables, ledger
from uptake_metrics.erasure import Erasing
from uptake_metrics.rebuilding import Rebuilding
from uptake_metrics.register import Register

ANN = "ann.smith@example.com"


@pytest.fixture
def clock(clock):
    """The broker stamps what it stores with the real time."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def erasing_of(client):
    return lambda metrics: Erasing(metrics.engine, client.jetstream(), metrics.counting, metrics.register)


@pytest.fixture
def state(client, fact):
    """FACTS as ingestion stores them, and the metrics process that reads them."""

    async def state(metrics, *facts):
        js = client.jetstream()
        for one in facts:
            subject = subjects.fact(one.event.type, one.source, one.event.id)
            await js.publish(subject, one.model_dump_json(exclude_unset=True).encode(), stream=subjects.FACTS)
        at = await metrics.register.load()
        info = await js.stream_info(subjects.FACTS)
        entries = []
        for sequence in range(at.sequence + 1, info.state.last_seq + 1):
            try:
                message = await js.get_msg(subjects.FACTS, sequence)
            except NotFoundError:
                continue
            entries.append(Entry(sequence, message.subject, message.data, message.time))
        await metrics.register.apply(entries, at, Cursor(at.stream_uuid or "facts", info.state.last_seq))

    return state


@pytest.fixture
def usage(event, clock):
    """Ann and others on days that the rings hold and on old ones, of two accounts."""
    days = [clock.now - timedelta(days=n) for n in (0, 1, 5, 20, 34, 50, 100, 400, 2000)]
    people = {ANN: days, "bob": days[::2], "carl": days[1:3], "eve": days[:1]}
    return [
        event(account, user, at, feature, environment=environment)
        for account in ("acme", "other")
        for user, on in people.items()
        for number, at in enumerate(on)
        for feature, environment in [("edit", "production"), ("view", "trial" if number % 3 else "production")]
    ]


async def everything(metrics, account="acme", contact=True):
    """Every count of every day that matters, of totals, trials, and the length of each list; and the last contact."""

    def told_of(day):
        return day if contact else day and day.counts

    today = metrics.clock.now.date()
    spans = [(today - timedelta(days=140), today + timedelta(days=1))]
    spans += [(today - timedelta(days=n + 2), today - timedelta(days=n - 32)) for n in (400, 2000)]
    told = []
    for first, last in spans:
        for environment in ("production", "trial"):
            told.append([told_of(day) for day in await metrics.tally.days(account, first, last, environment)])
    for age in (0, 1, 6, 20, 40, 60, 110, 401, 2000):
        day = today - timedelta(days=age)
        told.append(told_of(metrics.tally.now(account, day)) if age < 30 else None)
        for feature in (None, "edit", "view"):
            told.append(len(await metrics.tally.users(account, day, "mau", feature)))
    return told


async def erase(erasing, metrics, reading):
    """Until nothing is left to do; the reader has to pass the messages that stand for the former ones."""
    async with reading(metrics), asyncio.timeout(20):
        while await erasing.run_once() or await is_unfinished(metrics):  # noqa: ASYNC110  # a database sets no event
            await asyncio.sleep(0.02)


async def is_unfinished(metrics):
    ((waiting,),) = await metrics.rows(
        "SELECT (SELECT count(*) FROM metrics.erasure WHERE finished_at IS NULL)"
        " + (SELECT count(*) FROM metrics.erased_message WHERE NOT replaced)"
    )
    return waiting > 0


async def columns_with(metrics, user):
    """Every column of every table that holds the id: as text, within JSON, or as bytes."""
    listed = await metrics.rows(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        " WHERE table_schema IN ('metrics', 'alerting')"
    )
    assert len(listed) > 80
    found = []
    for schema, table, column in listed:
        held = f'position(:text IN CAST("{column}" AS text)) + position(:hex IN CAST("{column}" AS text)) > 0'
        query = f"SELECT count(*) FROM {schema}.{table} WHERE {held}"  # noqa: S608  # names of the database itself
        ((count,),) = await metrics.rows(query, text=user, hex=user.encode().hex())
        if count:
            found.append(f"{table}.{column}")
    return found


async def messages_with(client, text_):
    """(stream, sequence) of every message of every stream that holds the id."""
    js, found = client.jetstream(), []
    for stream in (subjects.RAW, subjects.USAGE, subjects.FACTS, subjects.KPI, subjects.ALERT, subjects.REFUSED):
        state = (await js.stream_info(stream)).state
        for sequence in range(max(1, state.first_seq), state.last_seq + 1):
            try:
                message = await js.get_msg(stream, sequence)
            except NotFoundError:
                continue
            if text_ in (message.data or b"").decode():
                found.append((stream, sequence))
    return found


async def check(metrics, client):
    """What `uptake rebuild --check` says."""
    rebuilding = Rebuilding(
        metrics.engine,
        metrics.counting,
        metrics.register,
        lambda: Register(metrics.engine, "UTC", metrics._reject),
        metrics.clock,
    )
    rebuilding.request(check=True)
    await rebuilding.run_once(client.jetstream())
    assert rebuilding.progress.state == "done", rebuilding.progress.reason
    return rebuilding.progress


async def test_an_erased_person_is_nowhere_and_every_count_is_as_before(
    metrics, metrics_of, erasing_of, reading, send, usage, fact, state, client
):
    replica = metrics_of()
    await replica.load()
    async with reading(metrics):
        await send(usage)
    await state(
        metrics,
        fact("user.linked", account="acme", user=ANN, other="bob"),
        fact("user.linked", account="acme", user="carl", other="dora"),
    )
    await metrics.publish()
    before, others = await everything(metrics), await everything(metrics, "other")
    await replica.load()
    assert await everything(replica) == before
    published = await metrics.rows("SELECT subject, day, revision, body FROM metrics.snapshot ORDER BY 1, 2, 3")
    await state(
        metrics, fact("user.deleted", account="acme", user=ANN), fact("user.deleted", account="other", user=ANN)
    )
    await erase(erasing_of(metrics), metrics, reading)
    assert await columns_with(metrics, ANN) == []
    assert await messages_with(client, ANN) == []
    await replica.load()
    await replica.register.read_again(replica.counting.take_rewritten())
    again = metrics_of()
    await again.load()
    for process in (metrics, replica, again):
        assert await everything(process) == before
        assert await everything(process, "other") == others
    await metrics.publish()
    assert await metrics.rows("SELECT subject, day, revision, body FROM metrics.snapshot ORDER BY 1, 2, 3") == published
    progress = await check(metrics, client)
    assert (progress.differing, progress.covered_from) == (0, None)
    assert progress.user_days > 0


async def test_what_an_erased_person_does_later_counts_for_nobody(
    metrics, metrics_of, erasing_of, reading, send, usage, event, fact, state, client
):
    replica = metrics_of()
    async with reading(metrics):
        await send(usage)
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    await erase(erasing_of(metrics), metrics, reading)
    await replica.load()
    before = await everything(metrics, contact=False)
    await client.jetstream().publish("refused.v1.crm.too_old", refusal("acme", ANN))
    await client.jetstream().publish("refused.v1.crm.too_old", refusal("other", ANN))
    late = [event("acme", ANN, metrics.clock.now - timedelta(days=n), "edit") for n in (2, 3, 60, 700)]
    async with reading(metrics):
        await send([*late, event("other", ANN, metrics.clock.now)])
    await state(metrics, fact("user.linked", account="acme", user="bob", other=ANN))
    await state(metrics, fact("user.linked", account="acme", user=ANN, other="eve"))
    await erase(erasing_of(metrics), metrics, reading)
    assert metrics.register.account("acme").links == ()
    await replica.load()
    for process in (metrics, replica):
        assert await everything(process, contact=False) == before
    assert [where for where in await columns_with(metrics, ANN) if "person" not in where] == []
    assert await metrics.rows("SELECT account FROM metrics.person WHERE user_id = :user", user=ANN) == [("other",)]
    ((number,),) = await metrics.rows("SELECT sum(events) FROM metrics.not_counted WHERE reason = 'erased'")
    assert number == len(late)
    left = [stream for stream, _ in await messages_with(client, ANN)]
    assert left == ["USAGE", "USAGE", "REFUSED"]  # those of the other account
    assert (await check(metrics, client)).differing == 0


async def test_the_books_balance_throughout(metrics, erasing_of, reading, client, batches, usage, event, fact, state):
    async def written(events):
        for subject, data in batches(events):
            batch = json.loads(data) | {"writer": "a1", "acknowledged": None}
            await client.jetstream().publish(subject, json.dumps(batch).encode())

    async def totals():
        async with metrics.engine.connect() as connection:
            return await ledger.totals(connection)

    async with reading(metrics):
        await written(usage)
    before = await totals()
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    await erase(erasing_of(metrics), metrics, reading)
    assert await totals() == before
    assert (before.stored, before.balanced) == (len(usage), True)
    async with reading(metrics):
        await written([event("acme", ANN, metrics.clock.now)])
    await erase(erasing_of(metrics), metrics, reading)
    after = await totals()
    assert (after.stored, after.balanced) == (len(usage) + 1, True)


@pytest.mark.parametrize("fails_at", range(14))
async def test_whenever_it_is_killed_it_goes_on_and_ends_alike(
    metrics, metrics_of, erasing_of, reading, send, usage, fact, state, client, monkeypatch, fails_at
):
    """Killed before the n-th thing that it does to the database or the broker, and started again as another process."""
    async with reading(metrics):
        await send([one for one in usage if one["account"] == "acme"])
    await state(metrics, fact("user.linked", account="acme", user=ANN, other="bob"))
    before = await everything(metrics)
    await client.jetstream().publish("refused.v1.crm.too_old", refusal("acme", ANN))
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    left = [fails_at]

    def killed_in(owner, name, after):
        real = getattr(owner, name)

        async def step(*arguments, **options):
            if left[0] == 0 and not after:
                left[0] -= 1
                raise Killed(name)
            done = await real(*arguments, **options)
            left[0] -= 1
            if left[0] == -1 and after:
                raise Killed(name)
            return done

        monkeypatch.setattr(owner, name, step)

    killed_in(erasure_store, "bury", after=False)
    killed_in(erasure_tables, "rewrite", after=True)
    killed_in(erasure_store, "note", after=False)
    killed_in(erasure_store, "proceed", after=True)
    killed_in(Erasing, "_publish", after=True)
    killed_in(erasure_store, "copied", after=False)
    killed_in(Erasing, "_forget", after=True)
    killed_in(erasure_store, "replaced", after=False)
    killed_in(erasure_store, "finish", after=True)
    with pytest.raises(Killed):
        await erase(erasing_of(metrics), metrics, reading)
    again = metrics_of()
    await again.load()
    assert await everything(again) == before
    await erase(erasing_of(again), again, reading)
    assert await everything(again) == before
    assert await columns_with(again, ANN) == []
    assert await messages_with(client, ANN) == []
    assert (await check(again, client)).differing == 0
    async with again.engine.connect() as connection:
        (job,) = await erasure_store.jobs(connection)
    assert job.receipt["streams"] == {"USAGE": 1, "FACTS": 2, "REFUSED": 1}
    masks = job.receipt["tables"].pop("activity_mask")
    assert (masks > 9, job.receipt["tables"]) == (True, {"person": 1, "fact": 2, "unattributed_usage": 0})


class Killed(BaseException):
    """As kill -9 does it: nothing catches it."""


def refusal(account, user):
    body = json.dumps({"id": "e-1", "type": "usage", "account": account, "user": user, "feature": "edit"})
    one = Refusal(source="crm", reason="too_old", detail="36 days", refused_at="2026-08-01T00:00:00Z", body=body)
    return one.model_dump_json().encode()


async def test_the_same_person_twice_and_somebody_unknown(
    metrics, erasing_of, reading, send, usage, fact, state, event
):
    async with reading(metrics):
        await send(usage)
    before = await everything(metrics)
    for user in (ANN, ANN, "nobody-ever"):
        await state(metrics, fact("user.deleted", account="acme", user=user))
        await erase(erasing_of(metrics), metrics, reading)
    await state(metrics, fact("user.deleted", account="never-heard-of", user=ANN))
    await erase(erasing_of(metrics), metrics, reading)
    assert await everything(metrics) == before
    async with metrics.engine.connect() as connection:
        jobs = await erasure_store.jobs(connection)
    assert [(job.state, job.user) for job in jobs] == [("done", None)] * 4
    found = [{table for table, rows in job.receipt["tables"].items() if rows} for job in jobs]
    assert sorted(found, key=len) == [set(), {"fact"}, {"fact"}, {"activity_mask", "person", "fact"}]
    assert sorted(job.receipt["found"] for job in jobs) == [False, False, False, True]
    before = await everything(metrics, contact=False)
    async with reading(metrics):
        await send([event("acme", "nobody-ever", metrics.clock.now)])
    assert await everything(metrics, contact=False) == before


async def test_two_people_of_one_message(metrics, erasing_of, reading, send, usage, fact, state, client):
    async with reading(metrics):
        await send(usage)
    before = await everything(metrics)
    await state(metrics, *(fact("user.deleted", account="acme", user=user) for user in (ANN, "bob", "carl")))
    await erase(erasing_of(metrics), metrics, reading)
    assert await everything(metrics) == before
    assert (
        await metrics.rows("SELECT user_id FROM metrics.person WHERE account = 'acme' AND user_id ~ '^(ann|bob|carl)'")
        == []
    )
    assert (await check(metrics, client)).differing == 0
    today = metrics.clock.now.date()
    listed = await metrics.tally.users("acme", today, "mau", None)
    assert [name for name in listed if not name.startswith("erased:")] == ["eve"]


async def test_only_the_process_that_reads_the_shard_erases(metrics, client, reading, send, usage, fact, state):
    async with reading(metrics):
        await send(usage)
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    others = set(range(subjects.SHARDS)) - {subjects.shard_of("acme")}
    idle = Erasing(metrics.engine, client.jetstream(), metrics.counting, metrics.register, lambda: others)
    assert await idle.run_once() == 0
    assert await is_unfinished(metrics)


async def test_two_processes_that_erase_at_once_do_it_once(
    metrics, metrics_of, erasing_of, reading, send, usage, fact, state, client
):
    other = metrics_of()
    await other.load()
    async with reading(metrics):
        await send(usage)
    before = await everything(metrics)
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    await other.load()
    async with reading(metrics), reading(other), asyncio.timeout(30):
        while await is_unfinished(metrics):
            done = await asyncio.gather(
                *(erasing_of(one).run_once() for one in (metrics, other)), return_exceptions=True
            )
            assert [one for one in done if not isinstance(one, int | Fenced)] == []
            await asyncio.sleep(0.02)
    await other.load()
    for process in (metrics, other):
        assert await everything(process) == before
    assert (await check(metrics, client)).differing == 0


async def test_a_rebuild_while_somebody_is_erased_puts_nothing_right_that_is_right(
    metrics, erasing_of, reading, send, usage, fact, state, client
):
    async with reading(metrics):
        await send(usage)
    before = await everything(metrics)
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    erasing = erasing_of(metrics)
    async with reading(metrics), asyncio.timeout(20):
        while await is_unfinished(metrics):
            await erasing.run_once()
            assert (await check(metrics, client)).differing == 0
    assert await everything(metrics) == before


async def test_a_new_time_zone_afterwards_recounts_the_tombstone(
    metrics, erasing_of, reading, send, usage, fact, state, rezoning_of
):
    async with reading(metrics):
        await send(usage)
    zone = fact("account.updated", account="acme", time_zone="Pacific/Kiritimati")
    await state(metrics, zone)
    rezoning = rezoning_of(metrics)
    await rezoning.run_once()
    right = await everything(metrics)
    await state(metrics, fact("account.updated", "2026-01-02T00:00:00Z", account="acme", time_zone="UTC"))
    await rezoning.run_once()
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    await erase(erasing_of(metrics), metrics, reading)
    again = fact("account.updated", "2026-01-03T00:00:00Z", account="acme", time_zone="Pacific/Kiritimati")
    await state(metrics, again)
    assert await rezoning.run_once() == 1
    assert await everything(metrics) == right


async def test_what_waits_in_raw_is_not_lost(metrics, erasing_of, reading, send, usage, fact, state, client):
    """Ingestion has not taken it: other people may be in it. Once it has, the copy in RAW goes."""
    async with reading(metrics):
        await send([one for one in usage if one["account"] == "acme"])
    raw = json.dumps([{"id": "1", "type": "usage", "account": "acme", "user": ANN, "feature": "edit"}])
    await client.jetstream().publish("raw.v1.crm.usage", raw.encode())
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    erasing = erasing_of(metrics)
    async with reading(metrics), asyncio.timeout(20):
        while len(await messages_with(client, ANN)) > 1:
            await erasing.run_once()
    for _ in range(5):
        await erasing.run_once()
    assert await messages_with(client, ANN) == [("RAW", 1)]
    assert await is_unfinished(metrics)
    pull = await client.jetstream().pull_subscribe("raw.v1.>", "ingestion", "RAW")
    for message in await pull.fetch(1):
        await message.ack_sync()
    await erase(erasing, metrics, reading)
    assert await messages_with(client, ANN) == []


async def test_our_logs_never_name_anybody(metrics, erasing_of, reading, send, usage, fact, state, capfd, client):
    async with reading(metrics):
        await send(usage)
    await client.jetstream().publish(subjects.usage(subjects.shard_of("acme")), b'{"users":["' + ANN.encode() + b'"]')
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    await erase(erasing_of(metrics), metrics, reading)
    told = capfd.readouterr()
    assert "the tables name the person no more" in told.out
    assert ANN not in told.out + told.err


async def test_a_person_is_found_whatever_named_them(metrics, erasing_of, reading, send, event, fact, state, client):
    """Of Ann there is only a link, of Bob an event that counting reads while he is erased, of Carl nothing."""
    await state(
        metrics,
        fact("user.linked", account="acme", user="dora", other="ann"),
        *(fact("user.deleted", account="acme", user=user) for user in ("ann", "bob", "carl")),
    )
    erasing = erasing_of(metrics)
    await erasing.run_once()
    async with reading(metrics):
        await send([event("acme", "bob", metrics.clock.now)])
    await erase(erasing, metrics, reading)
    async with metrics.engine.connect() as connection:
        jobs = await erasure_store.jobs(connection)
    assert [job.receipt["found"] for job in sorted(jobs, key=lambda job: job.asked_at)] == [True, True, False]


async def test_usage_of_an_installation_that_is_mapped_after_the_erasure_is_nobodys(
    attribution_of, metrics, metrics_of, erasing_of, reading, send, event, fact, state, client
):
    """It was never counted in this account: it is suppressed like later events, wherever one looks."""
    attribution = attribution_of(metrics)
    days = [metrics.clock.now - timedelta(days=n) for n in (1, 3)]
    async with reading(metrics):
        await send(event("", user, at, instance="late") for user in (ANN, "zoe") for at in days)
        await send([event("acme", ANN, metrics.clock.now - timedelta(days=2)), event("acme", "bob", days[0])])
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    await erase(erasing_of(metrics), metrics, reading)
    await state(metrics, fact("instance.mapped", instance="late", account="acme"))
    assert await attribution.run_once() == 4
    today = metrics.clock.now.date()
    span = ("acme", today - timedelta(days=4), today)
    counted = [(0, 0, 0), (1, 1, 1), (1, 2, 2), (2, 3, 3), (0, 3, 3)]  # Zoe, the tombstone, Zoe and Bob
    assert await metrics.counted(*span) == counted
    await erase(erasing_of(metrics), metrics, reading)
    await attribution.run_once()
    again = metrics_of()
    await again.load()
    for process in (metrics, again):
        assert await process.counted(*span) == counted
        assert len(await process.tally.users("acme", today, "mau", None)) == 3
    told = await metrics.rows("SELECT reason, sum(events) FROM metrics.not_counted WHERE account = 'acme' GROUP BY 1")
    assert told == [("erased", 2)]
    assert await columns_with(metrics, ANN) == []
    assert await messages_with(client, ANN) == []
    assert (await check(metrics, client)).differing == 0


async def test_usage_through_an_installation_is_erased_too(
    attribution_of, metrics, erasing_of, reading, send, event, fact, state, client, usage
):
    attribution = attribution_of(metrics)
    days = [metrics.clock.now - timedelta(days=n) for n in (1, 40, 300)]
    async with reading(metrics):
        await send([one for one in usage if one["account"] == "acme" and one["user"] != ANN])
        await send(event("", user, at, instance="box") for user in (ANN, "zoe") for at in days)
    await state(metrics, fact("instance.mapped", instance="box", account="acme"))
    assert await attribution.run_once() == 6
    before = await everything(metrics)
    await state(metrics, fact("user.deleted", account="acme", user=ANN))
    await erase(erasing_of(metrics), metrics, reading)
    assert await columns_with(metrics, ANN) == []
    assert await messages_with(client, ANN) == []
    async with reading(metrics):
        await send([event("", ANN, metrics.clock.now - timedelta(days=2), instance="box")])
    await attribution.run_once()
    erasing = erasing_of(metrics)
    await erasing.run_once()
    await erase(erasing, metrics, reading)
    assert await everything(metrics, contact=False) == [
        [day.counts for day in one] if isinstance(one, list) else getattr(one, "counts", one) for one in before
    ]
    assert await columns_with(metrics, ANN) == []
    assert await messages_with(client, ANN) == []
    assert (await check(metrics, client)).differing == 0
