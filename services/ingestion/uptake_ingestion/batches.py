"""Accepted usage gathers into whole batches, as columns. Pure: when a batch leaves is decided elsewhere."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from uptake.messages.events import Usage
from uptake.messages.usage import MAX_BATCH_EVENTS
from uptake.subjects import shard_of

MAX_BATCH_BYTES = 512 * 1024  # of a message: far under the broker's 1 MiB

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Row(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An accepted usage event. The garbage collector knows nothing of it, however many wait to be stored.

    A decoder for it takes events without properties only.
    """

    id: _Name
    type: Literal["usage"]
    occurred_at: str
    user: _Name
    feature: _Name
    account: _Name | None = None
    instance: _Name | None = None
    environment: str = "production"
    actor: Literal["human", "system", "operator", "staff", "anonymous"] = "human"
    properties: Annotated[dict[str, float], msgspec.Meta(max_length=0)] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, event: Usage) -> "Row":
        fields: dict[str, Any] = {name: getattr(event, name) for name in Usage.model_fields}
        return cls(**fields | {"occurred_at": event.occurred_at.isoformat()})


class Lane(NamedTuple):
    """What the events of one batch have in common."""

    shard: int
    source: str
    import_id: str | None = None


def by_lane(rows: Iterable[Row], source: str, import_id: str | None = None) -> Iterator[tuple[Lane, list[Row]]]:
    of_shard = defaultdict[int, list[Row]](list)
    for row in rows:
        of_shard[shard_of(row.account or row.instance or "")].append(row)
    for shard, together in of_shard.items():
        yield Lane(shard, source, import_id), together


def microseconds(instant: datetime) -> int:
    """Since 1970, UTC; exact, which a float of seconds is not."""
    return (instant - _EPOCH) // _MICROSECOND


class Stamp(NamedTuple):
    """What a batch says about itself when it leaves."""

    received_at: datetime
    writer: str
    acknowledged: int


def payloads(
    lane: Lane, rows: Sequence[Row], stamp: Stamp, new_id: Callable[[], str]
) -> Iterator[tuple[str, int, bytes]]:
    """(id, events, message) of as few batches as may hold these events: a `UsageBatch` each."""
    if len(rows) <= MAX_BATCH_EVENTS:
        batch_id = new_id()
        payload = msgspec.json.encode(_columns(lane, rows, stamp, batch_id))
        if len(payload) <= MAX_BATCH_BYTES or len(rows) == 1:
            yield batch_id, len(rows), payload
            return
    middle = len(rows) // 2
    for half in (rows[:middle], rows[middle:]):
        yield from payloads(lane, half, stamp, new_id)


def _columns(lane: Lane, rows: Sequence[Row], stamp: Stamp, batch_id: str) -> dict[str, Any]:
    """The fields of a `UsageBatch`; columns that hold their default for every event are left out."""
    batch: dict[str, Any] = {
        "version": 1,
        "id": batch_id,
        "source": lane.source,
        "received_at": microseconds(stamp.received_at),
        "writer": stamp.writer,
        "acknowledged": stamp.acknowledged,
        "accounts": [row.account or "" for row in rows],
        "users": [row.user for row in rows],
        "features": [row.feature for row in rows],
        "instants": [microseconds(datetime.fromisoformat(row.occurred_at)) for row in rows],
    }
    if lane.import_id is not None:
        batch["import_id"] = lane.import_id
    if {row.environment for row in rows} != {"production"}:
        batch["environments"] = [row.environment for row in rows]
    if {row.actor for row in rows} != {"human"}:
        batch["actors"] = [row.actor for row in rows]
    if {row.instance for row in rows} != {None}:
        batch["instances"] = [row.instance for row in rows]
    if any([row.properties for row in rows]):
        batch["properties"] = [row.properties or {} for row in rows]
    return batch
