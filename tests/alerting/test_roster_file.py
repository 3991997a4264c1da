"""`roster.yml`: what is shipped, what is refused with its line, and what is doubtful though it can be in force."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from uptake import config
from uptake_alerting.roster import Roster
from uptake_alerting.roster_file import SHIPPED, RosterFile, check

NOW = datetime(2026, 6, 8, 18, tzinfo=UTC)


@pytest.fixture
def checked(tmp_path: Path) -> Callable[..., list[str]]:
    """What `check` says of a folder with this roster, without the folder's name."""

    def run(text: str, routes: str | None = None) -> list[str]:
        (tmp_path / "roster.yml").write_text(text)
        if routes is not None:
            (tmp_path / "routes.yml").write_text(routes)
        return [line.removeprefix(f"{tmp_path}/") for line in check(tmp_path, NOW)]

    return run


def example() -> str:
    """What the comments of the shipped file show."""
    commented = SHIPPED[SHIPPED.index("# people:") :].splitlines()
    return "\n".join(line.removeprefix("# ") for line in commented if line.startswith("# "))


def test_an_installation_starts_without_people(tmp_path):
    found = RosterFile(tmp_path / "roster.yml")
    found.write_default()
    assert (tmp_path / "roster.yml").read_text() == SHIPPED
    assert found.current() == Roster() == RosterFile(None).current()
    assert check(tmp_path, NOW) == [] == check(tmp_path / "nowhere", NOW)


def test_the_example_in_the_comments_works_and_has_no_gap(checked):
    roster = config.parse(example(), Roster)
    assert {"us-west", "us-east", "international"} == set(roster.rotations) == set(roster.regions)
    assert checked(example()) == []


RULES = "rotations:\n  r:\n    time_zone: UTC\n    layers:\n    - {people: [ann], start: 2026-01-05}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("people: [{name: ann}]\nregion: {}", "line 2: region: is not known here"),
        ("people:\n- {name: ann}\n- {name: ann}", "line 3: people.1.name: ann stands twice"),
        ("people:\n- name: ann\n  email: ann", "line 3: people.0.email"),
        ("people:\n- name: ann\n  slack: C123", "line 3: people.0.slack"),
        ("people:\n- name: ann\n  time_zone: Europe/Paris2", "line 3: people.0.time_zone: is not an IANA time zone"),
        (
            "people:\n- name: ann\n  region: mars",
            "line 3: people.0.region: names a region that this file does not have",
        ),
        ("people:\n- name: ann\n  manager: bob", "line 3: people.0.manager: nobody of the people here is called bob"),
        (
            "people:\n- name: ann\n  away:\n  - {from: 2026-02-30, to: 2026-03-01}",
            "line 4: people.0.away.0.from: must be",
        ),
        (
            "people:\n- name: ann\n  away:\n  - {from: 2026-03-02, to: 2026-03-01}",
            "line 4: people.0.away.0: must end after",
        ),
        ("people:\n- name: ann\n  working_hours: {days: [monday]}", "line 3: people.0.working_hours.days.0: must be"),
        (
            "people:\n- name: ann\n  working_hours: {from: 25:00}",
            "line 3: people.0.working_hours.from: must be a time of",
        ),
        ("holidays:\n  us: {thanksgiving: Day}", "line 2: holidays.us"),
        ("regions:\n  a: {time_zone: UTC, holidays: us}", "line 2: regions.a.holidays: names holidays that"),
        ("regions:\n  a: {time_zone: UTC, rotation: r}", "line 2: regions.a.rotation: names a rotation"),
        (
            "regions:\n  a: {time_zone: UTC, accounts: [x]}\n  b: {time_zone: UTC, accounts: [x]}",
            "line 3: regions.b.accounts: x is a name of two regions",
        ),
        (RULES, "line 5: rotations.r.layers.0.people.0: nobody of the people here is called ann"),
        ("rotations:\n  r: {time_zone: UTC, layers: []}", "line 2: rotations.r.layers"),
        (
            f"people: [{{name: ann}}]\n{RULES}    overrides:\n    - {{person: bob, from: 2026-01-01, to: 2026-01-02}}",
            "line 8: rotations.r.overrides.0.person: nobody",
        ),
        ("roles:\n  director: [ann]", "line 2: roles.director.0: nobody of the people here is called ann"),
        ("roles:\n  boss: [ann]", "line 2: roles.boss"),
        ("fallback:\n  lead: ann", "line 2: fallback.lead: nobody of the people here is called ann"),
        ("fallback:\n  follow_the_sun: [r]", "line 2: fallback.follow_the_sun.0: names a rotation"),
    ],
)
def test_what_cannot_be_in_force_is_named_with_its_line(checked, text, said):
    (found,) = checked(text)
    assert found.startswith(f"roster.yml: {said}")


def test_a_bad_file_leaves_the_last_good_one_in_force(tmp_path):
    path = tmp_path / "roster.yml"
    path.write_text("people: [{name: ann}]")
    found = RosterFile(path)
    assert list(found.current().by_name) == ["ann"]
    path.write_text("people: [{name: ann, region: mars}]")
    assert list(found.current().by_name) == ["ann"]
    assert "line 1" in (found.error or "")


def test_times_may_stand_without_quotes():
    """YAML reads 10:30 as the number 630, and 09:00 as text."""
    hours = (
        config.parse("people: [{name: ann, working_hours: {from: 10:30, to: 09:00}}]", Roster).people[0].working_hours
    )
    assert (f"{hours.start:%H:%M}", f"{hours.end:%H:%M}") == ("10:30", "09:00")


LEAVE = "people:\n- {name: ann, away: [{from: 2026-06-20, to: 2026-06-21}]}\n"


def test_a_gap_ahead_is_named_with_the_line_of_its_rotation(checked):
    assert checked(LEAVE + RULES) == [
        "roster.yml: line 4: rotations.r: nobody is on call for a part of 2 of the next 60 days, first on 2026-06-20"
    ]


HOOK = 'channels: {{hook: {{type: webhook, url: "https://x.example.com", serves: [{}]}}}}'
MAIL = 'channels: {mail: {type: email, host: smtp.example.com, sender: a@example.com, serves: ["*"]}}'


@pytest.mark.parametrize(
    ("routes", "reaches"),
    [
        (None, True),  # nothing is known of channels here
        ("channels: {}", True),  # no channel at all: a new installation
        ("channels: [", True),  # its own check says so
        (HOOK.format("ann"), True),
        (HOOK.format("bob"), False),
        (MAIL, False),  # ann has no address
    ],
)
def test_who_is_on_call_without_a_channel_is_named(checked, routes, reaches):
    said = "roster.yml: line 6: rotations.r.layers.0.people.0: no channel of routes.yml reaches ann"
    assert checked(f"people: [{{name: ann}}]\n{RULES}", routes) == ([] if reaches else [said])
