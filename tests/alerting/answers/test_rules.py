"""What alerting answers about the rules in force."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake_alerting.answers import rules as asked_rules
from uptake_alerting.rule_file import RulesFile

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
OWN = """
groups:
- name: own
  rules:
  - alert: nearly-all
    subject: account
    when:
      all:
      - {metric: adoption, at_least: 99.5 %}
      - any: [{metric: mau, above: 1000}, {metric: production_day, at_most: 45 days}]
    for: 2 business days
    severity: info
    to: [executive, owner]
"""


@pytest.fixture
async def client(engine: AsyncEngine, tmp_path) -> AsyncIterator[httpx2.AsyncClient]:
    app = FastAPI()
    rules = RulesFile(tmp_path / "rules.yml")
    rules.write_default()
    app.include_router(asked_rules.router(engine, rules))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://alerting", trust_env=False) as client:
        yield client


async def test_every_rule_with_when_in_words_and_how_many_alerts_of_it_are_open(client, fire):
    await fire("acme", NOW)
    await fire("other", NOW)
    await fire("third", NOW, columns={"ended_at": NOW, "state": "resolved"})
    found = (await client.get("/api/v1/rules")).json()
    by_name = {one["rule"]: one for one in found["rules"]}
    assert (len(found["rules"]), found["problem"]) == (14, None)
    assert by_name["adoption-below-target"] == {
        "rule": "adoption-below-target",
        "subject": "account",
        "when": "adoption_status is off_target",
        "hold": "3 samples",
        "severity": "warning",
        "deliver": "working_hours",
        "to": ["owner"],
        "inhibits": [],
        "open": 2,
    }
    assert by_name["usage-unhealthy"]["when"] == "usage at most 30 %"
    assert by_name["trial-policy"]["when"] == "policy_on is reached"
    assert by_name["adoption-step-up-at-risk"]["when"] == (
        "days_to_step at most 13 days and next_rise above 0 and adoption below next_target"
    )


async def test_rules_of_ones_own_and_why_a_newer_file_is_not_in_force(client, tmp_path):
    (tmp_path / "rules.yml").write_text(OWN)
    (one,) = (await client.get("/api/v1/rules")).json()["rules"]
    assert one["when"] == "adoption at least 99.5 % and (mau above 1000 or production_day at most 45 days)"
    assert (one["hold"], one["to"], one["deliver"]) == ("2 business days", ["executive", "owner"], "digest")
    (tmp_path / "rules.yml").write_text(OWN.replace("subject: account", "subject: planet"))
    found = (await client.get("/api/v1/rules")).json()
    assert [line["rule"] for line in found["rules"]] == ["nearly-all"]
    assert "line 6" in found["problem"]
