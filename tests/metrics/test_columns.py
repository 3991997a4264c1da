"""Batches of usage, laid end to end, and what becomes of events without an account."""

import json
from datetime import UTC, datetime

import pytest

from uptake_metrics.batches import decoded
from uptake_metrics.columns import Columns, Unattributed

STORED_AT = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
NOON = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * 1_000_000


@pytest.fixture
def columns_of(batches):
    """The events as the columns of their shards, which here is always one."""

    def columns(*events):
        return Columns.of(decoded(data, STORED_AT) for _, data in batches(events))

    return columns


def plain(**changes):
    """A batch of two events, with some of its columns changed."""
    batch = {
        "id": "b1",
        "source": "demo",
        "received_at": 0,
        "accounts": ["acme", "acme"],
        "users": ["ann", "bob"],
        "features": ["edit", "edit"],
        "instants": [NOON_US, NOON_US],
    }
    return json.dumps(batch | changes, separators=(",", ":")).encode()


def test_events_are_laid_end_to_end(columns_of, event):
    columns = columns_of(event("acme", "ann", NOON), event("acme", "bob", NOON, "view"))
    assert len(columns) == 2
    assert [*columns.accounts, *columns.users] == [b"acme", b"acme", b"ann", b"bob"]
    assert list(columns.features) == [b"edit", b"view"]
    assert columns.instants.tolist() == [NOON_US] * 2
    assert columns.environments is None
    assert columns.hours == [(0, 2)]


def test_batches_with_and_without_environments_are_laid_end_to_end():
    some = [plain(), plain(environments=["trial", "qa"]), plain(), plain(actors=["human", "staff"])]
    columns = Columns.of(decoded(data, STORED_AT) for data in some)
    assert columns.environments == ["production"] * 2 + ["trial", "qa"] + ["production"] * 4
    assert columns.actors == ["human"] * 7 + ["staff"]


@pytest.mark.parametrize(
    ("other", "environments", "actors"),
    [
        ({}, None, None),
        ({"environment": "production"}, ["production"], None),
        ({"actor": "system"}, None, ["system"]),
        ({"actor": "staff", "environment": ""}, [""], ["staff"]),
    ],
)
def test_a_column_of_defaults_is_none_and_any_other_as_it_was_sent(columns_of, event, other, environments, actors):
    columns = columns_of(event("acme", "ann", NOON, **other))
    assert (columns.environments, columns.actors) == (environments, actors)


def test_an_event_without_an_account_is_put_aside_and_the_others_go_on():
    batch = decoded(
        plain(accounts=["", "acme"], instances=["i-1", None], environments=["production", "trial"]), STORED_AT
    )
    columns = Columns.of([batch])
    assert [list(columns.accounts), list(columns.users), columns.environments] == [[b"acme"], [b"bob"], ["trial"]]
    assert columns.unattributed == [Unattributed("i-1", "ann", "edit", "production", "human", NOON_US)]
    assert (columns.hours, columns.unattributed_hours) == ([(0, 1)], {0: 1})
