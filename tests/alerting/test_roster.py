"""What the roster says of people and regions: whose zone, whose holidays, and what a region is called."""

from datetime import date

import pytest

from uptake import config
from uptake_alerting.roster import Roster

ROSTER = config.parse(
    """
people:
- {name: ann, region: west}
- {name: bob, region: west, time_zone: Asia/Singapore}
- {name: cem, region: plain}
- {name: dan}
holidays: {us: {2026-12-25: Christmas Day}}
regions:
  west: {time_zone: America/Los_Angeles, accounts: [US West, amer], holidays: us}
  plain: {time_zone: Europe/London}
""",
    Roster,
)


@pytest.mark.parametrize(
    ("name", "zone", "holidays"),
    [
        ("ann", "America/Los_Angeles", [date(2026, 12, 25)]),
        ("bob", "Asia/Singapore", [date(2026, 12, 25)]),  # at home elsewhere, the holidays are the region's
        ("cem", "Europe/London", []),
        ("dan", "UTC", []),
    ],
)
def test_zone_and_holidays_of_a_person(name, zone, holidays):
    person = ROSTER.by_name[name]
    assert (ROSTER.zone_of(person), list(ROSTER.holidays_of(person))) == (zone, holidays)


@pytest.mark.parametrize(
    ("stated", "region"),
    [("west", "west"), ("US West", "west"), ("amer", "west"), ("plain", "plain"), ("emea", None), (None, None)],
)
def test_the_region_that_the_facts_of_an_account_mean(stated, region):
    assert ROSTER.region_of(stated) == region
