"""Usage as columns: nothing lost, nothing moved, and never more than a batch may hold."""

from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.events import Usage
from uptake.messages.usage import MAX_BATCH_EVENTS, UsageBatch
from uptake.subjects import shard_of
from uptake_ingestion.batches import MAX_BATCH_BYTES, Lane, Row, Stamp, by_lane, microseconds, payloads

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
LANE = Lane(3, "local")
STAMP = Stamp(NOW, "a1", 7)
PLAIN = Usage(id="e", type="usage", occurred_at=NOW, account="acme", user="ada", feature="merge")

_EVENTS = st.builds(
    Usage,
    id=st.just("e"),
    type=st.just("usage"),
    occurred_at=st.datetimes(timezones=st.just(UTC)),
    account=st.none() | st.just("acme"),
    instance=st.just("i1"),
    user=st.sampled_from(["ada", "grace", 'Žofie "🚀" \\']),
    feature=st.sampled_from(["merge", "review"]),
    environment=st.sampled_from(["production", "trial"]),
    actor=st.sampled_from(["human", "system"]),
    properties=st.dictionaries(st.just("lines"), st.integers(0, 9).map(float)),
)


def _batches(rows, lane=LANE):
    """The batches as who reads them sees them, and the sizes of their messages."""
    ids = map(str, count())
    made = list(payloads(lane, rows, STAMP, lambda: next(ids)))
    batches = [UsageBatch.model_validate_json(payload) for _, _, payload in made]
    assert [(batch.id, len(batch.accounts)) for batch in batches] == [(name, events) for name, events, _ in made]
    return batches, [len(payload) for _, _, payload in made]


def _columns(batch):
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
    [batch], _ = _batches([Row.of(event) for event in events])
    assert _columns(batch) == [
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


def test_a_batch_says_who_wrote_it_when_and_for_whom():
    [batch], _ = _batches([Row.of(PLAIN)], Lane(3, "crm", "job"))
    assert (batch.source, batch.import_id) == ("crm", "job")
    assert (batch.received_at, batch.writer, batch.acknowledged) == (microseconds(NOW), "a1", 7)


def test_a_column_of_defaults_is_left_out():
    [batch], _ = _batches([Row.of(PLAIN), Row.of(PLAIN)])
    assert (batch.environments, batch.actors, batch.instances, batch.properties) == (None, None, None, None)
    assert batch.import_id is None


def test_a_batch_has_at_most_500_events():
    rows = [Row.of(PLAIN.model_copy(update={"user": str(number)})) for number in range(2 * MAX_BATCH_EVENTS + 1)]
    batches, _ = _batches(rows)
    assert max(len(batch.accounts) for batch in batches) <= MAX_BATCH_EVENTS
    assert [user for batch in batches for user in batch.users] == [row.user for row in rows]
    assert len(_batches(rows[:MAX_BATCH_EVENTS])[0]) == 1


def test_a_message_stays_under_its_bytes_whatever_the_events_hold():
    fat = {str(number) * 60: float(number) for number in range(50)}
    rows = [Row.of(PLAIN.model_copy(update={"user": str(n), "properties": fat})) for n in range(500)]
    batches, sizes = _batches(rows)
    assert max(sizes) <= MAX_BATCH_BYTES < sum(sizes)
    assert [user for batch in batches for user in batch.users] == [row.user for row in rows]


def test_an_event_rides_with_its_account_and_without_one_with_its_instance():
    acme, of_instance = Row.of(PLAIN), Row.of(PLAIN.model_copy(update={"account": None, "instance": "i1"}))
    assert dict(by_lane([acme, of_instance, acme], "local", "job")) == {
        Lane(shard_of("acme"), "local", "job"): [acme, acme],
        Lane(shard_of("i1"), "local", "job"): [of_instance],
    }


def test_instants_are_exact_to_the_microsecond():
    assert microseconds(datetime(2026, 5, 10, 9, 30, 0, 1, tzinfo=UTC)) == 1778405400000001
    assert microseconds(datetime(1, 1, 1, tzinfo=UTC)) == -62135596800000000
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)) == -1
