"""The board as Prometheus text, read back by Prometheus' own parser."""

import asyncio
from dataclasses import replace
from datetime import date

from prometheus_client.parser import text_string_to_metric_families

from uptake_metrics import exporter
from uptake_metrics.exporter import GAUGES, Exporter

EVERY_SHARD = frozenset(range(16))


def samples(text):
    """{(gauge, account): value} of the numbers, and {account: labels} of the info."""
    numbers, info = {}, {}
    for family in text_string_to_metric_families(b"".join(text).decode()):
        assert (family.type, bool(family.documentation)) == ("gauge", True)
        for sample in family.samples:
            account = sample.labels["account"]
            if sample.name == "uptake_account_info":
                info[account] = {**sample.labels, "value": sample.value}
            else:
                assert (sample.name, account) not in numbers
                numbers[sample.name.removeprefix("uptake_account_"), account] = sample.value
    return numbers, info


async def test_every_known_number_is_a_gauge(metrics, event, fact):
    await metrics.count(
        event("acme", "ann", "2026-08-25"), *(event("acme", "bob", f"2026-08-{day}") for day in range(10, 25))
    )
    await metrics.learn(
        fact("account.updated", account="acme", name="Acme", owner="kim", production_date="2026-01-01", plan="pro"),
        fact("license.issued", account="acme", license="l", seats=5),
    )
    await metrics.board.refresh()
    numbers, info = samples(await Exporter(metrics.board, lambda: EVERY_SHARD).text())
    kpis = metrics.board.lines["acme"].kpis
    assert numbers == {
        ("dau", "acme"): 1,
        ("wau", "acme"): 2,
        ("mau", "acme"): 2,
        ("seats", "acme"): 5,
        ("adoption_ratio", "acme"): 0.4,
        ("adoption_target_ratio", "acme"): 0.75,
        ("usage_ratio", "acme"): kpis.usage.value,
    }
    assert {f"uptake_account_{name}" for name, _ in numbers} == GAUGES.keys()
    assert info == {
        "acme": {"account": "acme", "name": "Acme", "owner": "kim", "plan": "pro", "time_zone": "UTC", "value": 1}
    }


async def test_an_unknown_number_is_absent_and_not_0(metrics, event, fact):
    await metrics.learn(fact("account.updated", account="silent", owner="kim"))
    await metrics.count(event("quiet", "bot", "2026-08-25", actor="system"))
    await metrics.board.refresh()
    numbers, info = samples(await Exporter(metrics.board, lambda: EVERY_SHARD).text())
    assert numbers == {("dau", "quiet"): 0, ("wau", "quiet"): 0, ("mau", "quiet"): 0}
    assert info.keys() == {"silent", "quiet"}


async def test_any_id_is_a_label(metrics, event, fact):
    names = ['a"b', "a\\b", "a\\nb", "a b", "ünï", "𝕏", "{}", "a,b=", "'", "#"]
    await metrics.count(*(event(name, "ann", "2026-08-25") for name in names))
    await metrics.learn(*(fact("account.updated", account=name, name=f"the {name}") for name in names))
    await metrics.board.refresh()
    numbers, info = samples(await Exporter(metrics.board, lambda: EVERY_SHARD).text())
    assert {account for gauge, account in numbers if gauge == "mau"} == set(names)
    assert {account: labels["name"] for account, labels in info.items()} == {name: f"the {name}" for name in names}


def test_a_line_break_cannot_end_a_label():
    assert exporter.escaped('a\n"\\') == 'a\\n\\"\\\\'


async def test_each_account_is_told_of_by_the_one_replica_that_reads_its_shard(metrics, event):
    names = [f"n{n}" for n in range(20)]
    await metrics.count(*(event(name, "ann", "2026-08-25") for name in names))
    await metrics.board.refresh()
    shards = [EVERY_SHARD - frozenset(range(8)), frozenset(range(8))]
    export = Exporter(metrics.board, lambda: shards[-1])
    told = []
    while shards:  # nothing but the shards has changed
        told += [account for kind, account in samples(await export.text())[0] if kind == "mau"]
        shards.pop()
    assert sorted(told) == sorted(names)


async def test_the_text_follows_the_board_and_is_written_once_a_version(metrics, event, monkeypatch):
    export = Exporter(metrics.board, lambda: EVERY_SHARD)
    assert await export.text() == []
    await metrics.count(event("acme", "ann", "2026-08-25"), event("bolt", "ann", "2026-08-25"))
    await metrics.board.refresh()
    assert samples(await export.text())[0]["mau", "acme"] == 1
    monkeypatch.setattr(exporter, "_pieces", None)
    await export.text()  # nothing has changed: nothing is written
    monkeypatch.undo()
    await metrics.count(event("acme", "bob", "2026-08-25"))
    await metrics.board.refresh()
    first, second = await asyncio.gather(export.text(), export.text())
    assert first is second
    assert samples(first)[0]["mau", "acme"] == 2
    assert first == await Exporter(metrics.board, lambda: EVERY_SHARD).text()  # what had not changed is what it was


async def test_20_000_accounts_are_written_beside_the_loop(metrics, event):
    await metrics.count(event("acme", "ann", "2026-08-25"))
    await metrics.board.refresh()
    line = await metrics.board.line("acme", date(2026, 8, 25))
    accounts = [replace(line.account, account=f"account-{n}") for n in range(20_000)]
    metrics.board.lines = {account.account: replace(line, account=account) for account in accounts}
    metrics.board.version += 1
    export, turns = Exporter(metrics.board, lambda: EVERY_SHARD), 0

    async def tick():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    await export.text()
    ticker.cancel()
    assert turns > 200
