"""What made a revision: only what something speaks for, and always the fields that differ."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from uptake.messages.kpi import AccountSnapshot
from uptake_metrics.revisions import revisions

GOLDEN = Path(__file__).parents[1] / "messages" / "AccountSnapshot.json"
DAY = date(2026, 8, 24)


def snapshot(revision, facts_to=None, import_id=None, day=DAY, **moved):
    """`moved`: fields of the snapshot; those of its KPIs and of its adoption by a path with `__`."""
    one = AccountSnapshot.model_validate_json(GOLDEN.read_text()).model_dump()
    one |= {
        "facts_to": facts_to,
        "import_id": import_id,
        "published_at": datetime(2026, 8, 25, 2, revision, tzinfo=UTC),
    }
    one["kpis"] |= {"revision": revision, "as_of": day}
    for path, value in moved.items():
        *within, name = path.split("__")
        place = one
        for step in within:
            place = place[step]
        place[name] = value
    return AccountSnapshot.model_validate(one)


def causes(before, after, *facts):
    return revisions([before, after], facts)[-1].causes


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ({"kpis__dau": 99}, ["usage"]),
        ({"kpis__mau": 99}, ["usage"]),
        ({"features_first_used": ["web"]}, ["usage"]),
        ({"kpis__mau": 99, "import_id": "job"}, ["import"]),
        ({"kpis__data_health": "stale"}, ["contact"]),
        ({"kpis__adoption__target": 0.9}, ["policy"]),
        ({"kpis__adoption__policy": "digital", "kpis__mau": 99}, ["policy", "usage"]),
        ({"owner": "somebody"}, ["unknown"]),
        ({"kpis__adoption__den": 99}, ["unknown"]),
    ],
)
def test_without_a_fact_the_fields_that_differ_speak(moved, expected):
    assert causes(snapshot(1), snapshot(2, **moved)) == expected


def test_a_fact_that_was_known_before_is_no_cause(fact):
    seats = fact("license.issued", account="acme", license="l", seats=4)
    before, after = snapshot(1, facts_to=10), snapshot(2, facts_to=20, kpis__adoption__den=99)
    assert causes(before, after, (10, seats)) == ["unknown"]
    assert causes(before, after, (21, seats)) == ["unknown"]
    assert causes(before, after, (11, seats)) == causes(before, after, (20, seats)) == ["license"]


def test_a_revision_of_an_earlier_version_does_not_say_which_facts_it_knew(fact):
    seats = fact("license.issued", account="acme", license="l", seats=4)
    assert causes(snapshot(1), snapshot(2, facts_to=20, kpis__adoption__den=99), (11, seats)) == ["unknown"]


def test_each_day_begins_with_its_own_first_revision():
    found = revisions([snapshot(1), snapshot(2, kpis__mau=9), snapshot(1, day=date(2026, 8, 25))], [])
    assert [(one.revision, one.causes[0], len(one.differs)) for one in found] == [
        (1, "day_closed", 0),
        (2, "usage", 1),
        (1, "day_closed", 0),
    ]


def test_what_only_says_how_it_was_published_is_no_difference():
    (_, second) = revisions([snapshot(1, facts_to=1, part=1), snapshot(2, facts_to=2, part=3, parts=9)], [])
    assert (second.differs, second.causes) == ([], ["unknown"])


@pytest.mark.parametrize("kind", ["user.linked", "user.unlinked"])
def test_people_who_became_one_are_not_taken_for_usage(fact, kind):
    link = fact(kind, account="acme", user="ann", other="bob")
    assert causes(snapshot(1, facts_to=1), snapshot(2, facts_to=2, kpis__mau=9), (2, link)) == ["links"]
