"""Whoever is measured on batches and whoever is measured on events counts the same."""

import json
from collections import Counter
from datetime import UTC, datetime

import pytest

from uptake import subjects
from uptake.messages.events import Usage
from uptake.messages.usage import UsageBatch

from .traffic import WATCHED, batches, bodies, events, everybody, history, read, rows, usage, watched_user_days, write

NOW = datetime(2026, 5, 10, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def happened():
    return usage(5_000, NOW, accounts=100)


def test_a_batch_holds_events_of_its_shard_only(happened):
    for subject, data in batches(happened, NOW):
        batch = UsageBatch.model_validate_json(data)
        assert {subjects.usage(subjects.shard_of(account)) for account in batch.accounts} == {subject}
        assert len(batch.accounts) <= 100


def test_batches_and_events_say_the_same(happened):
    single = [Usage.model_validate_json(data) for data in events(happened)]
    said = Counter(
        (one.account, one.environment, one.feature, one.user, int(one.occurred_at.timestamp()) // 86_400)
        for one in single
        if one.actor == "human"
    )
    assert Counter(rows(batches(happened, NOW))) == said


def test_bodies_hold_every_event_once(happened):
    assert [one for body in bodies(happened) for one in json.loads(body)] == list(map(json.loads, events(happened)))


def test_the_people_were_there_the_day_before(happened):
    before = set(history(5_000, NOW).user)
    assert 0.8 < len(before & set(happened.user)) / len(set(happened.user)) < 1


def test_some_events_are_late_and_some_come_twice(happened):
    late = [us for us in happened.instant_us if us < (NOW.timestamp() - 86_400) * 1_000_000]
    assert 0.03 < len(late) / 5_000 < 0.07
    assert len(set(zip(happened.user, happened.instant_us, strict=True))) < 5_000


def test_everybody_is_somebody_of_every_account():
    assert Counter(everybody(20, NOW).account) == {f"account-{number:05}": 3 for number in range(20)}


def test_messages_survive_a_file(happened, tmp_path):
    messages = batches(happened, NOW)
    write(tmp_path / "messages", messages)
    assert read(tmp_path / "messages") == messages


def test_the_watched_account_is_counted_by_person_and_day(happened):
    pairs = {(user, day) for account, _, _, user, day in rows(batches(happened, NOW)) if account == WATCHED}
    assert watched_user_days(batches(happened, NOW)) == len(pairs) > 10
