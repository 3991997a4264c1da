"""Batches of usage: what is understood of them, and how they are laid end to end."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from uptake_metrics.columns import Columns, ImpossibleBatch, Unattributed, decoded

STORED_AT = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
SECOND_US = 1_000_000
NOON = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * SECOND_US


@pytest.fixture
def columns_of(batches):
    """The events as the columns of their shards, which here is always one."""

    def columns(*events):
        return Columns.of(decoded(data, STORED_AT) for _, data in batches(events))

    return columns


def raw(**changes):
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
    return json.dumps(batch | changes).encode()


def test_events_are_laid_end_to_end(columns_of, event):
    columns = columns_of(event("acme", "ann", NOON), event("acme", "bob", NOON, "view"))
    assert len(columns) == 2
    assert (columns.accounts, columns.users, columns.features) == (["acme"] * 2, ["ann", "bob"], ["edit", "view"])
    assert columns.instants_us == [NOON_US] * 2
    assert columns.environments == ["production"] * 2
    assert columns.counted == [True, True]


@pytest.mark.parametrize(
    ("other", "counted", "not_counted"),
    [
        ({}, True, {}),
        ({"actor": "human", "environment": "trial"}, True, {}),
        ({"actor": "system"}, False, {"actor": 1}),
        ({"actor": "operator"}, False, {"actor": 1}),
        ({"actor": "staff"}, False, {"actor": 1}),
        ({"actor": "anonymous"}, False, {"actor": 1}),
        ({"environment": "staging"}, False, {"environment": 1}),
        ({"actor": "staff", "environment": "dev"}, False, {"actor": 1}),  # one event has one reason
    ],
)
def test_only_humans_in_production_or_trial_are_counted(columns_of, event, other, counted, not_counted):
    columns = columns_of(event("acme", "ann", NOON, **other))
    assert columns.counted == [counted]
    assert +columns.not_counted == not_counted


def test_an_event_without_an_account_is_put_aside_and_the_others_go_on():
    batch = decoded(
        raw(accounts=["", "acme"], instances=["i-1", None], environments=["production", "trial"]), STORED_AT
    )
    columns = Columns.of([batch])
    assert (columns.accounts, columns.users, columns.environments) == (["acme"], ["bob"], ["trial"])
    assert columns.unattributed == [Unattributed("i-1", "ann", "edit", "production", "human", NOON_US)]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"id": "b1"}', raw(users=["ann"]), raw(instants=["x", 1])])
def test_what_is_no_batch_is_no_batch(data):
    with pytest.raises(ValidationError):
        decoded(data, STORED_AT)


@pytest.mark.parametrize(
    "changes",
    [
        {"instants": [NOON_US, -1]},
        {"instants": [86_400 * SECOND_US - 1, NOON_US]},  # somewhere it is 1969-12-31
        {"instants": [NOON_US, NOON_US + (14 * 3600 + 10 * 60) * SECOND_US + 1]},
        {"instants": [NOON_US, 2**80]},
        {"users": ["ann", "b\0b"]},
        {"accounts": ["acme", "ac\0me"]},
        {"features": ["\0", "edit"]},
        {"environments": ["production", "\0"]},
        {"instances": [None, "i\0"]},
        {"accounts": ["acme", ""]},
        {"accounts": ["acme", ""], "instances": ["i-1", None]},
    ],
)
def test_what_nobody_can_count_is_impossible(changes):
    with pytest.raises(ImpossibleBatch):
        decoded(raw(**changes), STORED_AT)


@pytest.mark.parametrize(
    "changes",
    [
        {"instants": [86_400 * SECOND_US, NOON_US]},
        {"instants": [NOON_US, NOON_US + 14 * 3600 * SECOND_US]},
        {"users": ["ann", "\\u0000"]},  # six characters, none of them a NUL
        {"users": ["💥", "عمر"]},
        {"accounts": [], "users": [], "features": [], "instants": []},
    ],
)
def test_what_is_only_strange_is_counted(changes):
    decoded(raw(**changes), STORED_AT)


def test_the_answer_is_the_same_whenever_the_log_is_read():
    """A batch too far ahead when it was stored stays refused when its day has long come: both are told the same."""
    ahead = raw(instants=[NOON_US, NOON_US + 3 * 86_400 * SECOND_US])
    with pytest.raises(ImpossibleBatch):
        decoded(ahead, STORED_AT)
    decoded(ahead, STORED_AT + timedelta(days=3))
