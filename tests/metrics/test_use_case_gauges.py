"""Use cases as gauges: today's counts from memory, absent where they are unknown."""

from prometheus_client.parser import text_string_to_metric_families

from uptake_metrics.exporter import Exporter
from uptake_metrics.use_case_gauges import UseCaseGauges

EVERY_SHARD = frozenset(range(16))


async def gauges(metrics):
    await metrics.board.refresh()
    use_cases = UseCaseGauges(metrics.tally.features, metrics.config)
    text = b"".join(await Exporter(metrics.board, lambda: EVERY_SHARD, use_cases).text()).decode()
    return {
        (sample.name.removeprefix("uptake_account_use_case_"), sample.labels["account"], sample.labels["use_case"]): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "use_case" in sample.labels
    }


async def test_every_use_case_of_every_account_is_a_gauge(metrics, event, fact):
    await metrics.count(
        event("acme", "ann", "2026-08-25", "merge"),
        event("acme", "bob", "2026-08-01", "edit"),
        event("acme", "bob", "2026-07-01", "merge"),
        *(event(f"a{n}", "ann", "2026-08-25", "issue.new") for n in range(60)),
    )
    await metrics.learn(fact("account.updated", account="kiritimati", time_zone="Pacific/Kiritimati"))
    await metrics.count(event("kiritimati", "ann", "2026-08-26T01:00:00+00:00", "merge"))
    found = await gauges(metrics)
    assert found["mau", "acme", "source-control"] == 1
    assert found["saturation_ratio", "acme", "source-control"] == 0.5
    assert (found["mau", "acme", "ci-cd"], found["saturation_ratio", "acme", "ci-cd"]) == (0, 0)
    assert sum(found["mau", f"a{n}", "planning"] for n in range(60)) == 60
    assert found["mau", "kiritimati", "source-control"] == 1


async def test_an_unknown_use_case_is_absent_and_not_0(metrics, event, fact):
    await metrics.learn(fact("account.updated", account="unheard", owner="kim"))
    await metrics.count(event("quiet", "bot", "2026-08-25", actor="system"))
    found = await gauges(metrics)
    assert {account for _, account, _ in found} <= {"quiet"}
    assert not any(name == "saturation_ratio" for name, _, _ in found)


async def test_who_begins_to_use_a_feature_is_seen_at_once(metrics, event):
    await metrics.count(event("acme", "ann", "2026-08-25", "edit"))
    before = await gauges(metrics)
    await metrics.count(event("acme", "ann", "2026-08-25", "merge"))
    assert [one["mau", "acme", "source-control"] for one in (before, await gauges(metrics))] == [0, 1]


async def test_linked_ids_are_one_person(metrics, event, fact):
    await metrics.count(event("acme", "ann", "2026-08-25", "merge"), event("acme", "bob", "2026-08-25", "merge"))
    assert (await gauges(metrics))["mau", "acme", "source-control"] == 2
    await metrics.learn(fact("user.linked", account="acme", user="ann", other="bob"))
    assert (await gauges(metrics))["mau", "acme", "source-control"] == 1
