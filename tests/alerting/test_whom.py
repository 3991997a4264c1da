"""Every reason why somebody gets an alert, as a table; and what is said of those who do not."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake import config
from uptake_alerting.roster import Roster
from uptake_alerting.routes import parse
from uptake_alerting.rules import Role
from uptake_alerting.whom import About, whom

#: Monday 8 June 2026, 18:00 UTC: 11:00 in Los Angeles, 14:00 in New York, 19:00 in London.
NOW = datetime(2026, 6, 8, 18, tzinfo=UTC)
ROSTER = config.parse(
    """
people:
- {name: own, region: west, manager: boss, email: own@example.com}
- {name: dep, region: west}
- {name: left, active: false, manager: boss}
- {name: ill, away: [{from: 2026-06-08, to: 2026-06-12}]}
- {name: west-1, region: west}
- {name: east-1, region: east}
- {name: intl-1, region: intl}
- {name: boss, email: boss@example.com}
- {name: lead, email: lead@example.com}
- {name: sales}
- {name: dir}
- {name: ops}
- {name: mute}
regions:
  west: {time_zone: America/Los_Angeles, accounts: [US West], rotation: west}
  east: {time_zone: America/New_York, rotation: east}
  intl: {time_zone: Europe/London, accounts: [emea], rotation: intl}
  void: {time_zone: UTC}
rotations:
  west:
    title: US West
    time_zone: America/Los_Angeles
    layers: [{people: [west-1], start: 2026-01-05, only: {from: "09:00", to: "17:00"}}]
  east:
    title: US East
    time_zone: America/New_York
    layers: [{people: [east-1], start: 2026-01-05, only: {from: "09:00", to: "17:00"}}]
  intl:
    title: International
    time_zone: Europe/London
    layers: [{people: [intl-1], start: 2026-01-05}]
roles: {director: [dir], ce_ops: [ops]}
fallback: {follow_the_sun: [intl, east, west], lead: lead}
""",
    Roster,
)
SERVED = "[dep, left, ill, west-1, east-1, intl-1, sales, dir, ops, stranger]"
ROUTES = parse(
    f"""
channels:
  hook: {{type: webhook, url: "https://hook.example.com/1", serves: {SERVED}}}
  mail: {{type: email, host: smtp.example.com, sender: uptake@example.com, serves: ["*"]}}
  all: {{type: webhook, url: "https://all.example.com/1"}}
  pager: {{type: webhook, url: "https://pager.example.com/1"}}
default: [all]
operators: [pager]
"""
)
ACCOUNT = About("adoption-below-target", ("owner",), "acme", "US West", owner="own", deputy="dep")
TRIAL = replace(ACCOUNT, rule="trial-breached", to=("engineer",), engineer="stranger")
NIGHT = datetime(2026, 6, 8, 3, tzinfo=UTC)  # 20:00 in Los Angeles, 23:00 in New York, 04:00 in London
DEFAULT = "this is a default channel, and "


def about(**other: object) -> About:
    return replace(ACCOUNT, **other)  # type: ignore[arg-type]  # the names of its fields


@pytest.mark.parametrize(
    ("about", "level", "now", "reached", "told"),
    [
        # Level 0: the owner, or who has taken it on; of a trial its engineer.
        (ACCOUNT, 0, NOW, 0, {"mail": "this channel serves own, who owns the account"}),
        (about(assignee="dep"), 0, NOW, 0, {"hook": "this channel serves dep, who has taken it on"}),
        (about(assignee="ill"), 0, NOW, 0, {"mail": "this channel serves own, who owns the account"}),
        (TRIAL, 0, NOW, 0, {"hook": "this channel serves stranger, who runs the trial"}),
        (about(owner="stranger"), 0, NOW, 0, {"hook": "this channel serves stranger, who owns the account"}),
        # Level 1: the deputy; of a trial the owner of the account, then the deputy.
        (ACCOUNT, 1, NOW, 1, {"hook": "this channel serves dep, who stands in for the owner of the account"}),
        (about(owner=None), 0, NOW, 1, {"hook": "this channel serves dep, who stands in for the owner of the account"}),
        (
            about(owner="left"),
            0,
            NOW,
            1,
            {"hook": "this channel serves dep, who stands in for the owner of the account"},
        ),
        (
            about(owner="ill"),
            0,
            NOW,
            1,
            {"hook": "this channel serves dep, who stands in for the owner of the account"},
        ),
        (
            about(owner="mute"),
            0,
            NOW,
            1,
            {"hook": "this channel serves dep, who stands in for the owner of the account"},
        ),
        (TRIAL, 1, NOW, 1, {"mail": "this channel serves own, who owns the account of the trial"}),
        (
            replace(TRIAL, engineer=None),
            0,
            NOW,
            1,
            {"mail": "this channel serves own, who owns the account of the trial"},
        ),
        # Level 2: who is on call for the region of the account, by either of its names.
        (ACCOUNT, 2, NOW, 2, {"hook": "this channel serves west-1, who is on call for US West"}),
        (about(owner=None, deputy=None), 0, NOW, 2, {"hook": "this channel serves west-1, who is on call for US West"}),
        (about(region="east"), 2, NOW, 2, {"hook": "this channel serves east-1, who is on call for US East"}),
        (about(region="emea"), 2, NIGHT, 2, {"hook": "this channel serves intl-1, who is on call for International"}),
        # Level 3: elsewhere in the order of the file, but first where it is working time.
        (ACCOUNT, 3, NOW, 3, {"hook": "this channel serves east-1, who is on call for US East, next in turn"}),
        (
            about(region="void"),
            2,
            NOW,
            3,
            {"hook": "this channel serves east-1, who is on call for US East, next in turn"},
        ),
        (
            about(region="mars"),
            2,
            NOW,
            3,
            {"hook": "this channel serves east-1, who is on call for US East, next in turn"},
        ),
        (
            about(region=None),
            2,
            NOW,
            3,
            {"hook": "this channel serves east-1, who is on call for US East, next in turn"},
        ),
        (ACCOUNT, 2, NIGHT, 3, {"hook": "this channel serves intl-1, who is on call for International, next in turn"}),
        # Level 4: the default channels, with the manager of the owner or the lead of the team.
        (
            ACCOUNT,
            4,
            NOW,
            4,
            {"all": DEFAULT + "nobody acted on it in time", "mail": "this channel serves boss, who leads the team"},
        ),
        (
            about(region="emea", owner=None, deputy="left"),
            4,
            NOW,
            4,
            {"all": DEFAULT + "nobody acted on it in time", "mail": "this channel serves lead, who leads the team"},
        ),
        # Whom a rule names beside or instead of the owner.
        (
            about(to=("owner", "executive"), executive="sales"),
            0,
            NOW,
            0,
            {
                "mail": "this channel serves own, who owns the account",
                "hook": "this channel serves sales, who sells to the account",
            },
        ),
        (
            about(to=("owner", "deputy")),
            0,
            NOW,
            0,
            {
                "mail": "this channel serves own, who owns the account",
                "hook": "this channel serves dep, who stands in for the owner of the account",
            },
        ),
        (about(to=("manager",)), 0, NOW, 0, {"mail": "this channel serves boss, who manages who owns it"}),
        (
            about(to=("manager",), manager="lead"),
            0,
            NOW,
            0,
            {"mail": "this channel serves lead, who manages who owns it"},
        ),
        (about(to=("manager",), owner=None), 0, NOW, 0, {"mail": "this channel serves lead, who manages who owns it"}),
        (about(to=("director",)), 0, NOW, 0, {"hook": "this channel serves dir, who directs the team"}),
        (
            about(to=("ce_ops",)),
            0,
            NOW,
            0,
            {"hook": "this channel serves ops, who keeps the data of the team in order"},
        ),
        (about(to=("operators",)), 0, NOW, 0, {"pager": "this channel is for those who operate Uptake"}),
        (
            about(to=("executive",), executive=None, owner=None),
            0,
            NOW,
            4,
            {"all": DEFAULT + "nobody owns the subject", "mail": "this channel serves lead, who leads the team"},
        ),
        (
            about(to=("executive",), executive="ill", owner=None),
            0,
            NOW,
            4,
            {
                "all": DEFAULT + "ill is away until 2026-06-13 00:00 UTC",
                "mail": "this channel serves lead, who leads the team",
            },
        ),
    ],
)
def test_who_gets_an_alert_and_why(about, level, now, reached, told):
    chosen = whom(about, level, ROSTER, ROUTES, now)
    assert ({one.channel: one.why for one in chosen.recipients}, chosen.level) == (told, reached)


def test_somebody_beside_the_owner_gets_it_also_when_a_deputy_does():
    chosen = whom(about(owner="ill", to=("owner", "manager"), manager="boss"), 0, ROSTER, ROUTES, NOW)
    assert [one.person for one in chosen.recipients] == ["dep", "boss"]


def test_who_owns_it_and_is_named_beside_gets_it_once():
    chosen = whom(about(to=("executive", "owner"), executive="own"), 0, ROSTER, ROUTES, NOW)
    assert [(one.person, one.why) for one in chosen.recipients] == [
        ("own", "this channel serves own, who owns the account")
    ]


def test_all_channels_of_a_person_get_it_each_with_its_own_destination():
    routes = parse(
        """
channels:
  one: {type: webhook, url: "https://a.example.com", serves: [own]}
  two: {type: email, host: smtp.example.com, sender: uptake@example.com, serves: [own]}
  none: {type: slack_app, token: t, serves: ["*"]}
"""
    )
    found = whom(ACCOUNT, 0, ROSTER, routes, NOW).recipients
    assert [(one.channel, one.channel_type, one.person) for one in found] == [
        ("one", "webhook", "own"),
        ("two", "email", "own"),
    ]
    assert len({one.destination for one in found}) == 2


NOBODY = about(owner=None, deputy=None, region=None)
FEW = 'channels: {{all: {{type: webhook, url: "https://all.example.com", serves: [{}]}}}}\ndefault: [{}]\n'


@pytest.mark.parametrize(
    ("about", "served", "default", "why"),
    [
        (ACCOUNT, "own", "all", "this channel serves own, who owns the account"),
        (ACCOUNT, "dep", "all", "this channel serves dep, who stands in for the owner of the account"),
        (about(owner=None), "dep", "", "this channel serves dep, who stands in for the owner of the account"),
        (ACCOUNT, "", "all", DEFAULT + "no channel serves own or dep"),
        (about(deputy="own"), "", "all", DEFAULT + "no channel serves own"),
        (NOBODY, "own", "all", DEFAULT + "nobody owns the subject"),
        (TRIAL, "stranger", "", "this channel serves stranger, who runs the trial"),
        (TRIAL, "own", "all", "this channel serves own, who owns the account of the trial"),
        (about(to=("operators",)), "", "all", "this channel is for those who operate Uptake"),
        (ACCOUNT, "", "", None),
        (about(to=("director",)), "", "", None),
    ],
)
def test_without_a_roster_whoever_is_served_is_there(about, served, default, why):
    found = whom(about, 0, Roster(), parse(FEW.format(served, default)), NIGHT).recipients
    assert [one.why for one in found] == ([why] if why else [])


def test_what_failed_for_good_is_not_asked_again():
    """First another channel of the same person, then the next level, and in the end nobody."""
    routes = parse(
        """
channels:
  one: {type: webhook, url: "https://a.example.com", serves: [own]}
  two: {type: webhook, url: "https://b.example.com", serves: [own]}
  all: {type: webhook, url: "https://c.example.com"}
default: [all, one]
"""
    )
    tried: set[tuple[str, str]] = set()
    asked = []
    for _ in range(4):
        found = whom(ACCOUNT, 0, Roster(), routes, NOW, frozenset(tried)).recipients
        asked.append([(one.channel, one.why) for one in found])
        tried |= {(one.channel, one.destination) for one in found[:1]}
    owner = "this channel serves own, who owns the account"
    assert asked == [
        [("one", owner), ("two", owner)],
        [("two", owner)],
        [("all", DEFAULT + "one failed and two failed and no channel serves dep")],
        [],
    ]


def test_it_says_what_became_of_everybody_it_looked_at():
    chosen = whom(about(assignee="left", owner="ill", deputy="mute", region="void"), 0, ROSTER, ROUTES, NOW)
    assert chosen.steps == (
        "left has taken it on, but is no longer active",
        "ill owns the account, but is away until 2026-06-13 00:00 UTC",
        "mute stands in for the owner of the account: no channel reaches them",
        "nobody is on call for void",
        "east-1 is on call for US East, next in turn: told through hook",
    )
    assert whom(NOBODY, 0, Roster(), parse("channels: {}"), NOW).steps == (
        "nobody owns it",
        "nobody stands in",
        "nobody is on call for an account without a region",
        "nobody is on call elsewhere",
        "the default channels: there are none",
    )


def test_two_who_are_on_call_in_a_repeated_hour_both_get_it():
    roster = config.parse(
        """
people: [{name: ann}, {name: bob}]
regions: {west: {time_zone: America/Los_Angeles, rotation: west}}
rotations:
  west:
    time_zone: America/Los_Angeles
    layers: [{people: [ann, bob], every: day, start: 2026-10-30, handover: "01:30"}]
""",
        Roster,
    )
    routes = parse(
        """
channels:
  a: {type: webhook, url: "https://a.example.com", serves: [ann]}
  b: {type: webhook, url: "https://b.example.com", serves: [bob]}
"""
    )
    found = whom(about(region="west"), 2, roster, routes, datetime(2026, 11, 1, 9, tzinfo=UTC)).recipients
    assert sorted(one.person or "" for one in found) == ["ann", "bob"]


NAMES = st.none() | st.sampled_from([*ROSTER.by_name, "stranger", "nobody"])
DESTINATIONS = [(name, channel.destination(None)) for name, channel in ROUTES.channels.items()]


@given(
    st.builds(
        About,
        rule=st.just("r"),
        to=st.lists(st.sampled_from(get_args(Role)), min_size=1, max_size=3, unique=True).map(tuple),
        account=st.just("acme"),
        region=st.none() | st.sampled_from(["west", "emea", "void", "mars"]),
        **dict.fromkeys(("owner", "deputy", "engineer", "executive", "manager", "assignee"), NAMES),
    ),
    st.integers(0, 4),
    st.sets(st.sampled_from([one for one in DESTINATIONS if one[0] != "all"])),
    st.datetimes(datetime.fromisoformat("2026-01-01"), datetime.fromisoformat("2027-01-01"), timezones=st.just(UTC)),
)
def test_promise_7_while_a_default_channel_works_somebody_is_always_told(about, level, tried, now):
    chosen = whom(about, level, ROSTER, ROUTES, now, frozenset(tried))
    destinations = [(one.channel, one.destination) for one in chosen.recipients]
    assert destinations
    assert len(set(destinations)) == len(destinations)
    assert not set(destinations) & tried
    assert chosen.level >= level or not {"owner", "engineer"} & set(about.to)
    assert all(one.why for one in chosen.recipients)
    assert chosen.steps
