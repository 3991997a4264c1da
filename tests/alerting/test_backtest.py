"""What rules would have told: the counts, the gate, and the program with its files."""

import io
import json
from datetime import UTC, date, datetime, timedelta

import pytest

from uptake_alerting import backtest
from uptake_alerting.backtest import Tally, report, too_many
from uptake_alerting.rehearsal import Notice, Rehearsed

MONDAY = date(2026, 5, 4)
LAST = MONDAY + timedelta(days=60)
RULES = """\
groups:
- name: own
  rules:
  - alert: few-users
    subject: account
    when: {{metric: mau, below: {below}}}
    for: {hold}
"""


def at(day: int) -> datetime:
    return datetime(2026, 5, 4, 10, tzinfo=UTC) + timedelta(days=day)


def notice(day, person="ce-1", rule="few-users", digest=False):
    return Notice(at(day), at(day).date(), rule, "acme", "trigger", person, "mail", "warning", digest)


def episode(begins, ends=None, subject="acme"):
    ended_at = None if ends is None else at(ends)
    return Rehearsed("few-users", subject, "ce-1", at(begins).date(), at(begins), "warning", ended_at)


def tally(*happened, last=LAST):
    found = Tally(MONDAY, last)
    for one in happened:
        found.notice(one) if isinstance(one, Notice) else found.episode(one)
    return found


def test_an_episode_soon_after_the_end_of_the_one_before_is_a_flap():
    found = tally(episode(0, 3), episode(16, 18), episode(40), episode(5, subject="blue"))
    assert (found.episodes["few-users"], found.flaps["few-users"]) == (4, 1)


def test_what_began_before_the_first_day_counts_for_nothing_but_a_flap():
    found = tally(episode(-9, 1), episode(3), notice(-1), notice(0))
    assert (found.episodes["few-users"], found.flaps["few-users"], found.notices["few-users"]) == (1, 1, 1)


def test_what_comes_after_the_last_day_counts_for_nothing():
    found = tally(episode(2), episode(3), notice(2), notice(3), last=MONDAY + timedelta(days=2))
    assert (found.episodes["few-users"], found.notices["few-users"]) == (1, 1)


def test_notices_are_counted_by_engineer_and_week_and_a_digest_is_one():
    notices = [notice(0), notice(6), notice(7), notice(1, "ce-2"), *[notice(day, digest=True) for day in (2, 2, 3)]]
    weeks = {key: dict(by_rule) for key, by_rule in tally(*notices).weeks.items()}
    assert weeks == {
        ("ce-1", "2026-05-04"): {"few-users": 2, "digest": 2},
        ("ce-1", "2026-05-11"): {"few-users": 1},
        ("ce-2", "2026-05-04"): {"few-users": 1},
    }


@pytest.mark.parametrize(("most", "over"), [(None, []), (3, []), (2, ["ce-1"]), (0, ["ce-1", "ce-2"])])
def test_the_gate_looks_at_the_fullest_week_of_each_engineer(most, over):
    candidate = tally(notice(7), notice(8), notice(9), notice(1), notice(1, "ce-2"))
    found = report(candidate, tally(), ["few-users"])
    assert found["engineers"][0]["candidate"]["week"] == "2026-05-11"
    assert found["rules"][0]["notices"] == {"baseline": 0, "candidate": 5}
    assert [line.split()[0] for line in too_many(found, most)] == over


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, account_day):
    """The program over eight closed days of 9 people; the file of rules beside a baseline."""

    def play(*words, below=10, hold=1, lines=None, more="", **other):
        """`more`: of the rule; `other`: of every day."""
        (tmp_path / "new.yml").write_text(RULES.format(below=below, hold=hold) + more)
        days = [account_day(MONDAY + timedelta(days=number), 9, **other) for number in range(8)]
        told = [json.dumps({"kind": "account", "snapshot": day.model_dump(mode="json")}) for day in days]
        monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(told if lines is None else lines)))
        files = ("--rules", str(tmp_path / "new.yml"), "--baseline", "shipped")
        code = backtest.main([*files, "--from", "2026-05-04", "--to", "2026-05-11", *words])
        return code, *capsys.readouterr()

    return play


def test_the_candidate_beside_the_baseline(run):
    code, out, _ = run()
    found = json.loads(out)
    by_rule = {one["rule"]: one["episodes"] for one in found["rules"]}
    assert (code, found["accounts"], found["days"], found["problems"]) == (0, 1, 8, [])
    assert by_rule["few-users"] == {"baseline": 0, "candidate": 1}
    assert by_rule["adoption-below-target"] == {"baseline": 1, "candidate": 0}
    assert found["not_played"] == ["closure-below-target", "instance-unattributed"]
    assert [one["engineer"] for one in found["engineers"]] == ["ce-1"]


def test_the_gate_shuts(run):
    code, out, _ = run("--max", "0")
    assert code == 1
    assert json.loads(out)["problems"] == [
        "ce-1 would get 1 notices in the week of 2026-05-04, more than 0: few-users 1"
    ]
    assert run("--max", "0", below=5)[0] == 0


def test_the_gate_names_the_rules_inside_digests():
    notices = [notice(0), *[notice(day, rule=rule, digest=True) for day, rule in ((1, "b"), (1, "a"), (2, "a"))]]
    found = report(tally(*notices), tally(), [])
    assert too_many(found, 2) == [
        "ce-1 would get 3 notices in the week of 2026-05-04, more than 2: digest 2 (a, b), few-users 1"
    ]


ROTA = """\
people: [{name: ce-9, region: emea}]
regions: {emea: {time_zone: UTC, rotation: emea}}
rotations: {emea: {time_zone: UTC, layers: [{people: [ce-9], start: 2026-01-05}]}}
"""
LEAD = "people: [{name: boss, region: emea}]\nregions: {emea: {time_zone: UTC}}\nfallback: {lead: boss}\n"


@pytest.mark.parametrize(
    ("people", "roster", "more", "told"),
    [
        ({}, None, "", {"ce-1": 1}),  # nobody acks, and there is nobody else: no case for the catch-all
        ({"owner": None}, None, "", {"catch-all": 1}),
        ({"owner": None, "deputy": "ce-2"}, None, "", {"ce-2": 1}),
        ({"owner": None, "region": "emea"}, ROTA, "", {"ce-9": 1}),
        ({"owner": None, "region": "amer"}, ROTA, "", {"catch-all": 1}),
        ({"owner": None}, LEAD, "", {"boss": 1, "catch-all": 1}),
        ({"owner": None}, None, "    to: [executive]\n", {"catch-all": 1}),
        ({"owner": None}, None, "    to: [operators]\n", {"operators": 1}),
        ({"owner": None}, None, "    deliver: digest\n", {"catch-all": 1}),
        (
            {"owner": None},
            None,
            "    one_shot: true\n",
            {"catch-all": 4},
        ),  # Tuesday to Friday: the lines of the weekend go on Monday
    ],
)
def test_what_nobody_else_hears_counts_for_the_catch_all(run, tmp_path, people, roster, more, told):
    """As in production: who stands in, who is on call, then the default channels and the lead."""
    words = ["--to", "2026-05-05"] if "one_shot" not in more else []
    if roster is not None:
        (tmp_path / "roster.yml").write_text(roster)
        words += ["--roster", str(tmp_path / "roster.yml")]
    code, out, _ = run(*words, "--max", "0", **{"deputy": None, "manager": None, "executive": None} | people, more=more)
    found = json.loads(out)
    assert {
        one["engineer"]: one["candidate"]["notices"] for one in found["engineers"] if one["candidate"]["week"]
    } == told
    assert (code, [line.split()[0] for line in found["problems"]]) == (1, sorted(told))


def test_what_was_open_before_the_first_day_does_not_begin_on_it(run):
    found = json.loads(run("--from", "2026-05-08")[1])
    by_rule = {one["rule"]: one["episodes"]["candidate"] for one in found["rules"]}
    assert (by_rule["few-users"], found["days"]) == (0, 4)


def test_a_wrong_file_is_named_with_its_line(run):
    code, out, errors = run(hold="ever")
    assert (code, out) == (2, "")
    assert "new.yml: line 7: " in errors


def test_a_history_out_of_order_is_refused(run, account_day):
    days = [account_day(MONDAY + timedelta(days=number), 9) for number in (1, 0)]
    lines = [json.dumps({"kind": "account", "snapshot": day.model_dump(mode="json")}) for day in days]
    code, out, errors = run(lines=lines)
    assert (code, out) == (2, "")
    assert errors.startswith("the history is not in the order of time: ")


def test_a_history_that_is_none_is_refused(run):
    code, out, errors = run(lines=['{"kind": "account", "snapshot": {}}'])
    assert (code, out) == (2, "")
    assert errors
