"""What is in force, and who would be judged otherwise: a preview says exactly what applying the file then does."""

from datetime import date
from pathlib import Path

import httpx2
import pytest

from uptake_metrics.config import Config

FILE = """\
default: easy
segments:
  - {from: 2026-01-01, segment: digital, policy: hard}
  - {from: 2027-01-01, segment: bank, policy: hard}
policies:
  easy: [{from: 2022-01-01, anchor: production, steps: [{day: 0, target: 10 %}]}]
  hard: [{from: 2022-01-01, anchor: contract, steps: [{day: 500, target: 90 %}]}]
  ce-2022: [{from: 2022-01-01, anchor: production, steps: [{day: 0, target: 75 %}]}]
"""


@pytest.fixture
async def accounts(metrics, event, fact):
    """Each with 2 of 10 seats, in production since January 2025: 20 % on a ladder that asks for 75 %."""
    about = {"acme": {}, "bank": {"segment": "bank"}, "neo": {"segment": "digital"}, "own": {"policy": "ce-2022"}}
    for name, attributes in about.items():
        await metrics.learn(
            fact("account.updated", account=name, production_date="2025-01-01", owner="ana", **attributes),
            fact("license.issued", account=name, license="l", seats=10, starts_at="2025-01-01T00:00:00Z"),
        )
        await metrics.count(event(name, "ann", "2026-08-20"), event(name, "bob", "2026-08-24"))
    await metrics.load()
    await metrics.board.refresh()


@pytest.fixture
async def http(metrics, http_app, tmp_path: Path):
    """The API of a metrics that follows the files of this test."""
    metrics.config = metrics.evaluation.config = Config(tmp_path)
    metrics.config.write_defaults()
    transport = httpx2.ASGITransport(http_app(metrics))
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


PREVIEW = "/api/v1/policies/preview"


async def test_a_preview_says_who_would_be_judged_otherwise_and_applies_nothing(http, accounts, metrics):
    answer = await http.post(PREVIEW, content=FILE)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["accounts"], found["changed"]) == (4, 3)
    assert found["moves"] == [
        {"before": "off_target", "after": "not_started", "accounts": 1},
        {"before": "off_target", "after": "on_target", "accounts": 2},
    ]
    assert [change["account"] for change in found["changes"]] == ["acme", "bank", "neo"]
    assert found["changes"][0] == {
        "account": "acme",
        "name": None,
        "owner": "ana",
        "as_of": "2026-08-25",
        "before": {
            "policy": "ce-2022",
            "policy_version": "2022-01-01",
            "status": "off_target",
            "n": 601,
            "target": 0.75,
            "value": 0.2,
            "reason": None,
        },
        "after": {
            "policy": "easy",
            "policy_version": "2022-01-01",
            "status": "on_target",
            "n": 601,
            "target": 0.1,
            "value": 0.2,
            "reason": None,
        },
    }
    assert found["changes"][2]["after"]["reason"] == "no_contract_start"
    assert found["later"] == ["2027-01-01"]
    assert (await http.post(PREVIEW, content=FILE)).json() == found
    assert (metrics.config.version, metrics.board.lines["acme"].kpis.adoption.policy) == (0, "ce-2022")


async def test_a_preview_equals_what_the_file_then_gives(http, accounts, metrics, tmp_path):
    said = (await http.post(PREVIEW, content=FILE)).json()
    before = {name: line.kpis.adoption for name, line in metrics.board.lines.items()}
    (tmp_path / "policies.yml").write_text(FILE)
    metrics.register.touched |= set(before)
    await metrics.board.refresh()
    after = {name: line.kpis.adoption for name, line in metrics.board.lines.items()}
    changed = {change["account"]: change["after"] for change in said["changes"]}
    assert {name for name in before if before[name] != after[name]} >= set(changed)
    for name, judged in changed.items():
        assert after[name].model_dump(mode="json", include=set(judged)) == judged
    for name in set(before) - set(changed):
        assert (after[name].policy, after[name].target, after[name].status) == (
            before[name].policy,
            before[name].target,
            before[name].status,
        )
    assert (await http.post(PREVIEW, content=FILE)).json()["changed"] == 0


async def test_a_preview_of_a_past_day_is_by_what_held_on_it(http, accounts):
    found = (await http.post(PREVIEW, params={"as_of": "2026-08-21"}, content=FILE)).json()
    assert {(change["as_of"], change["before"]["value"]) for change in found["changes"]} == {("2026-08-21", 0.1)}


async def test_what_is_in_force_changes_nobody(http, accounts, tmp_path):
    found = (await http.post(PREVIEW, content=(tmp_path / "policies.yml").read_bytes())).json()
    assert (found["changed"], found["moves"], found["changes"], found["later"]) == (0, [], [], [])


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (FILE.replace("10 %", "0 %"), 400, "line 6: policies.easy.0.steps.0.target: "),
        ("default: [", 400, "line "),
        ("", 400, "the file is empty"),
        (" \n", 400, "the file is empty"),
        ("# nothing but words\n", 400, "line 1: the file says nothing"),
        (b"\xff\xfe", 400, "the file is not UTF-8"),
        ("#" * 300_000, 413, "a file of policies has at most "),
    ],
)
async def test_a_file_that_cannot_be_in_force_is_refused(http, body, status, detail):
    answer = await http.post(PREVIEW, content=body)
    assert (answer.status_code, answer.json()["detail"].startswith(detail)) == (status, True)


async def test_a_day_ahead_is_refused(http):
    answer = await http.post(PREVIEW, params={"as_of": "2026-12-24"}, content=FILE)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_day")


async def test_the_policies_in_force_are_told_with_what_keeps_a_newer_file_out(http, tmp_path):
    found = (await http.get("/api/v1/policies")).json()
    assert found["problem"] is None
    assert found["assignments"] == [{"since": "1970-01-01", "segment": None, "policy": "ce-2022"}]
    assert found["policies"]["ta-2022"] == [
        {"since": "2022-01-01", "anchor": "production", "steps": [{"day": 45, "target": 0.8}]}
    ]
    (tmp_path / "policies.yml").write_text(FILE)
    found = (await http.get("/api/v1/policies")).json()
    assert list(found["policies"]) == ["easy", "hard", "ce-2022"]
    assert [one["segment"] for one in found["assignments"]] == [None, "digital", "bank"]
    (tmp_path / "policies.yml").write_text("default: none\n")
    kept = (await http.get("/api/v1/policies")).json()
    assert kept | {"problem": None} == found
    assert "policies.yml: line 1: " in kept["problem"]


async def test_two_ladders_in_one_quarter(http, accounts, metrics, fact, tmp_path):
    """The segment changes on one day of the quarter, the ladder of the segment on another: each day has its own."""
    (tmp_path / "policies.yml").write_text(
        FILE.replace(
            "hard: [", "hard: [{from: 2021-01-01, anchor: production, steps: [{day: 0, target: 20 %}]}, "
        ).replace("2022-01-01, anchor: contract", "2026-08-10, anchor: production")
    )
    assert metrics.config.problems() == []
    await metrics.learn(
        fact("account.updated", "2025-01-01T00:00:00Z", account="acme", segment="bank"),
        fact("account.updated", "2026-07-20T09:00:00Z", account="acme", segment="digital"),
    )
    found = {}
    for day in (date(2026, 7, 19), date(2026, 7, 20), date(2026, 8, 9), date(2026, 8, 10)):
        adoption = (await metrics.board.line("acme", day)).kpis.adoption
        found[day.isoformat()] = (
            adoption.policy,
            str(adoption.policy_version),
            adoption.policy_source,
            adoption.target,
        )
    assert found == {
        "2026-07-19": ("easy", "2022-01-01", "default", 0.1),
        "2026-07-20": ("hard", "2021-01-01", "segment", 0.2),
        "2026-08-09": ("hard", "2021-01-01", "segment", 0.2),
        "2026-08-10": ("hard", "2026-08-10", "segment", 0.9),
    }


async def test_what_is_in_force_is_a_table_too(http, tmp_path):
    (tmp_path / "policies.yml").write_text(FILE)
    answer = await http.get("/api/v1/policies", params={"format": "csv"})
    assert answer.text.split("\r\n") == [
        "kind,since,policy,segment,anchor,day,target",
        "step,2022-01-01,easy,,production,0,0.1",
        "step,2022-01-01,hard,,contract,500,0.9",
        "step,2022-01-01,ce-2022,,production,0,0.75",
        "assignment,1970-01-01,easy,,,,",
        "assignment,2026-01-01,hard,digital,,,",
        "assignment,2027-01-01,hard,bank,,,",
        "",
    ]


async def test_who_would_be_judged_otherwise_is_a_table_too(http, accounts):
    lines = (await http.post(PREVIEW, params={"format": "csv"}, content=FILE)).text.splitlines()
    assert lines[0].startswith("account,name,owner,as_of,before.policy,before.policy_version,before.status,")
    assert [line.split(",")[0] for line in lines[1:]] == ["acme", "bank", "neo"]
