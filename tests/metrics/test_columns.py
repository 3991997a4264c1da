"""Batches of usage, laid end to end: which events count, and what becomes of those without an account."""

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
    assert columns.environments == ["production"] * 2 + ["trial", "qa"] + ["production"] * 3 + [""]
    assert columns.not_counted == {"environment": 1, "actor": 1}


@pytest.mark.parametrize(
    ("other", "environment", "not_counted"),
    [
        ({"environment": "production"}, "production", {}),
        ({"actor": "human", "environment": "trial"}, "trial", {}),
        ({"actor": "system"}, "", {"actor": 1}),
        ({"actor": "operator"}, "", {"actor": 1}),
        ({"actor": "staff"}, "", {"actor": 1}),
        ({"actor": "anonymous"}, "", {"actor": 1}),
        ({"environment": "staging"}, "staging", {"environment": 1}),
        ({"environment": ""}, "", {"environment": 1}),
        ({"actor": "staff", "environment": "dev"}, "", {"actor": 1}),  # one event has one reason
    ],
)
def test_only_humans_in_production_or_trial_are_counted(columns_of, event, other, environment, not_counted):
    columns = columns_of(event("acme", "ann", NOON, **other))
    assert columns.environments == [environment]
    assert +columns.not_counted == not_counted


def test_an_event_without_an_account_is_put_aside_and_the_others_go_on():
    batch = decoded(
        plain(accounts=["", "acme"], instances=["i-1", None], environments=["production", "trial"]), STORED_AT
    )
    columns = Columns.of([batch])
    assert [list(columns.accounts), list(columns.users), columns.environments] == [[b"acme"], [b"bob"], ["trial"]]
    assert columns.unattributed == [Unattributed("i-1", "ann", "edit", "production", "human", NOON_US)]
    assert (columns.hours, columns.unattributed_hours) == ([(0, 1)], {0: 1})
