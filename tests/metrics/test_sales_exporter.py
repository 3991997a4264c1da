"""Trials and the running quarter as Prometheus text, read back by Prometheus' own parser."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from uptake_metrics import sales_exporter
from uptake_metrics.sales import Sales
from uptake_metrics.sales_exporter import GAUGES, SalesExporter

NAME = 'o "1"\\'


def samples(text):
    """{(gauge without its prefix, values of its labels): value}."""
    told = {}
    for family in text_string_to_metric_families(text.decode()):
        assert (family.type, bool(family.documentation), family.name in GAUGES) == ("gauge", True, True)
        for sample in family.samples:
            key = (sample.name.removeprefix("uptake_"), *sample.labels.values())
            assert key not in told
            told[key] = sample.value
    return told


@pytest.fixture
def stage(fact):
    def stage(opportunity, at, **said):
        return fact("opportunity.stage_changed", at, account="acme", opportunity=opportunity, **{"stage": 4} | said)

    return stage


@pytest.fixture
def export(metrics, clock):
    return SalesExporter(Sales(metrics.register, "UTC", clock), lambda: True)


async def test_every_running_trial_has_its_days(metrics, stage, fact, export):
    await metrics.learn(
        stage(NAME, "2026-08-01T09:00:00Z", complexity="complex"),
        stage(NAME, "2026-08-11T09:00:00Z", stage=3),
        stage(NAME, "2026-08-21T09:00:00Z"),
        stage("over", "2026-07-01T09:00:00Z"),
        fact("trial.decided", "2026-07-11T09:00:00Z", opportunity="over", outcome="win"),
    )
    told = samples(await export.text())
    assert {key: value for key, value in told.items() if key[0].startswith("trial")} == {
        ("trial_age_days", NAME, "complex"): 14,
        ("trial_wall_days", NAME, "complex"): 24,
        ("trial_target_days", NAME, "complex"): 30,
        ("trials", "running", "standard"): 0,
        ("trials", "running", "complex"): 1,
        ("trials", "stopped", "standard"): 1,
        ("trials", "stopped", "complex"): 0,
    }


async def test_the_running_quarter_is_told_as_it_is_answered(metrics, stage, fact, export, asking):
    await metrics.learn(
        stage("o1", "2026-07-01T09:00:00Z"),
        fact("trial.decided", "2026-07-11T09:00:00Z", opportunity="o1", outcome="win"),
        stage("o2", "2026-07-01T09:00:00Z"),
        fact("trial.decided", "2026-07-30T09:00:00Z", opportunity="o2", outcome="loss"),
    )
    told = samples(await export.text())
    async with asking(metrics) as ask:
        _, team = await ask("/api/v1/team")
    assert told["team_technical_closure_ratio",] == team["closure"]["value"] == 0.5
    assert told["team_technical_closure_target_ratio",] == 0.8
    assert (told["team_technical_wins",], told["team_opportunities_concluded",]) == (1, 2)
    assert told["team_trials_stopped", "standard"] == team["standard"]["n"] == 2
    assert told["team_trials_within_target_ratio", "standard"] == team["standard"]["share"] == 0.5
    assert told["team_trial_cycle_days", "standard", "0.5"] == team["standard"]["median_days"] == 19.5
    assert told["team_trial_cycle_days", "standard", "0.9"] == team["standard"]["p90_days"] == 29
    assert (told["team_won_opportunities",], told["team_new_customers",], told["team_products_sold",]) == (0, 0, 0)


async def test_new_acv_is_told_in_its_currency(metrics, fact, export):
    renewed = {"outcome": "won", "currency": "EUR", "products": ["core"]}
    told = fact("opportunity.closed", "2026-08-01T09:00:00Z", account="acme", opportunity="o1", **renewed)
    said = {"kind": "renewal", "recurring_cents": 70, "previous_recurring_cents": 100}
    await metrics.learn(told.model_copy(update={"event": told.event.model_copy(update=said)}))
    known = samples(await export.text())
    assert (known["team_new_acv_cents", "EUR"], known["team_net_new_acv_cents", "EUR"]) == (0, -30)
    assert (known["team_won_opportunities",], known["team_products_sold",]) == (1, 1)


async def test_an_unknown_number_is_absent_and_not_0(metrics, fact, export):
    await metrics.learn(fact("account.updated", account="acme", owner="kim"))
    told = samples(await export.text())
    gauges = {key[0] for key in told}
    assert "team_technical_closure_ratio" not in gauges
    assert not gauges & {"team_new_acv_cents", "team_net_new_acv_cents", "team_trial_cycle_days", "trial_age_days"}
    assert "team_trials_within_target_ratio" not in gauges
    assert told["team_opportunities_concluded",] == 0


async def test_only_the_replica_that_leads_tells(metrics, stage, clock):
    await metrics.learn(stage("o1", "2026-08-01T09:00:00Z"))
    leads = [False, True]
    export = SalesExporter(Sales(metrics.register, "UTC", clock), lambda: leads[-1])
    assert samples(await export.text())
    leads.pop()
    assert await export.text() == b""


async def test_before_the_facts_are_known_nothing_is_told(metrics_of, clock):
    assert await SalesExporter(Sales(metrics_of().register, "UTC", clock), lambda: True).text() == b""


async def test_it_is_written_once_a_fact_and_a_day(metrics, stage, export, clock, monkeypatch):
    await metrics.learn(stage("o1", "2026-08-01T09:00:00Z"))
    first, second = await asyncio.gather(export.text(), export.text())
    assert first is second
    assert samples(first)["trial_age_days", "o1", "standard"] == 24
    monkeypatch.setattr(sales_exporter, "_written", None)
    assert await export.text() is first  # nothing has changed: nothing is written
    monkeypatch.undo()
    clock.forward(days=1)
    assert samples(await export.text())["trial_age_days", "o1", "standard"] == 25
    await metrics.learn(stage("o1", "2026-08-20T09:00:00Z", stage=3))
    assert samples(await export.text())["trial_age_days", "o1", "standard"] == 19
