"""Usage as columns: nothing lost, nothing moved, and never more than a batch may hold."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.events import Usage
from uptake.messages.usage import MAX_BATCH_EVENTS, UsageBatch
from uptake.subjects import shard_of
from uptake_ingestion.batches import MAX_BATCH_BYTES, Draft, Lane, lane_of, microseconds

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
LANE = Lane(3, "local")
PLAIN = Usage(id="e", type="usage", occurred_at=NOW, account="acme", user="ada", feature="merge")

_EVENTS = st.builds(
    Usage,
    id=st.just("e"),
    type=st.just("usage"),
    occurred_at=st.datetimes(timezones=st.just(UTC)),
    account=st.none() | st.just("acme"),
    instance=st.just("i1"),
    user=st.sampled_from(["ada", "grace"]),
    feature=st.sampled_from(["merge", "review"]),
    environment=st.sampled_from(["production", "trial"]),
    actor=st.sampled_from(["human", "system"]),
    properties=st.dictionaries(st.just("lines"), st.integers(0, 9).map(float)),
)


def _batch(events):
    draft = Draft(LANE)
    for event in events:
        draft.add(event, 100)
    return draft.close("b1", NOW)


def _rows(batch):
    empty = [None] * len(batch.accounts)
    return list(
        zip(
            batch.accounts,
            batch.instances or empty,
            batch.users,
            batch.features,
            batch.instants,
            batch.environments or ["production"] * len(empty),
            batch.actors or ["human"] * len(empty),
            batch.properties or [{}] * len(empty),
            strict=True,
        )
    )


@given(st.lists(_EVENTS | st.just(PLAIN), min_size=1, max_size=20))
def test_the_columns_hold_what_the_events_said_in_their_order(events):
    batch = UsageBatch.model_validate_json(_batch(events).model_dump_json(exclude_none=True))
    assert _rows(batch) == [
        (
            event.account or "",
            event.instance,
            event.user,
            event.feature,
            microseconds(event.occurred_at),
            event.environment,
            event.actor,
            event.properties,
        )
        for event in events
    ]


def test_a_column_of_defaults_is_left_out():
    batch = _batch([PLAIN, PLAIN])
    assert (batch.environments, batch.actors, batch.instances, batch.properties) == (None, None, None, None)


def test_a_batch_is_full_at_500_events_or_at_its_bytes():
    draft = Draft(LANE)
    for _ in range(MAX_BATCH_EVENTS):
        assert draft.takes(10)
        draft.add(PLAIN, 10)
    assert not draft.takes(10)
    assert draft.full
    draft = Draft(LANE)
    draft.add(PLAIN, MAX_BATCH_BYTES - 10)
    assert draft.takes(10)
    assert not draft.takes(11)
    assert not draft.full


def test_an_event_rides_with_its_account_and_without_one_with_its_instance():
    of_instance = PLAIN.model_copy(update={"account": None, "instance": "i1"})
    assert lane_of(PLAIN, "local", "job") == Lane(shard_of("acme"), "local", "job")
    assert lane_of(of_instance, "local") == Lane(shard_of("i1"), "local", None)


def test_instants_are_exact_to_the_microsecond():
    assert microseconds(datetime(2026, 5, 10, 9, 30, 0, 1, tzinfo=UTC)) == 1778405400000001
    assert microseconds(datetime(1, 1, 1, tzinfo=UTC)) == -62135596800000000
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)) == -1
