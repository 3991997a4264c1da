"""deploy/prometheus: its alarms ask for metrics and labels that the services have, and each is explained."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.testclient import TestClient

import uptake_ingestion.app  # noqa: F401  # its metrics register themselves
import uptake_metrics.app  # noqa: F401  # so do these
from uptake.telemetry import REGISTRY, Health, routes
from uptake_alerting.telemetry import Telemetry

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
GROUPS = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
OF_SCRAPING = {"job", "instance"}  # Prometheus adds these
DURATION = re.compile(r"\d+[smhd]")


def labels_of(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Of each metric under the name that it is scraped by. The client has no public way to ask for label names."""
    found: dict[str, set[str]] = {}
    for collector, names in registry._collector_to_names.items():
        for name in names:
            found[name] = set(getattr(collector, "_labelnames", ()))
    return found


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    health = Health()
    health.add("anything", lambda: None)
    scraped = TestClient(Starlette(routes=routes(health))).get("/metrics").text
    assert 'uptake_ready{check="anything"} 1.0' in scraped
    ours = {"up": set(), "uptake_ready": {"check"}}
    return labels_of(REGISTRY) | labels_of(Telemetry()._registry) | ours


def metrics(expr: str) -> list[tuple[str, set[str]]]:
    """Each metric that is asked for, with the labels of its selector."""
    found = re.findall(r"\b(uptake_\w+|up)\b(?!\s*\()(?:\{(.*?)\})?", expr)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))) for name, selector in found]


def remaining(expr: str, exposed: dict[str, set[str]]) -> set[str]:
    """The labels of what the expression gives."""
    grouped = re.search(r"\bby \((.*?)\)", expr)
    if grouped:
        return set(re.split(r",\s*", grouped[1]))
    if re.search(r"\b(sum|min|max)\(", expr):
        return set()
    return OF_SCRAPING | set().union(*(exposed[name] for name, _ in metrics(expr)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alarm_asks_for_metrics_and_labels_that_are_exposed(rule: dict[str, Any], exposed: dict[str, set[str]]):
    asked = metrics(rule["expr"])
    assert asked
    for name, labels in asked:
        assert name in exposed
        assert labels <= exposed[name] | OF_SCRAPING
    of_all = OF_SCRAPING.union(*(exposed[name] for name, _ in asked))
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert told <= remaining(rule["expr"], exposed) <= of_all


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alarm_has_the_shape_that_prometheus_reads(rule: dict[str, Any]):
    assert (
        {"alert", "expr", "labels", "annotations"} <= rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    )
    assert re.fullmatch(r"Uptake[A-Za-z]+", rule["alert"])
    assert DURATION.fullmatch(rule.get("for", "0s"))
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert all(rule["expr"].count(opening) == rule["expr"].count(closing) for opening, closing in ("()", "{}", "[]"))
    assert all(DURATION.fullmatch(span) for span in re.findall(r"\[(.*?)\]", rule["expr"]))


def test_groups_and_alarms_have_names_of_their_own():
    assert all(group.keys() == {"name", "rules"} for group in GROUPS)
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_prometheus_is_given_the_rules():
    settings = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert settings["rule_files"] == ["rules.yml"]
    jobs = {job["job_name"] for job in settings["scrape_configs"]}
    (down,) = [rule for rule in RULES if rule["alert"] == "UptakeDown"]
    assert jobs == set(re.search(r'job=~"(.*?)"', down["expr"])[1].split("|"))
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert "./deploy/prometheus/rules.yml:/etc/prometheus/rules.yml:ro" in compose["services"]["prometheus"]["volumes"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_what_to_do_about_an_alarm_is_written_down(rule: dict[str, Any]):
    assert f"`{rule['alert']}`" in (ROOT / "docs" / "alerting.md").read_text()
