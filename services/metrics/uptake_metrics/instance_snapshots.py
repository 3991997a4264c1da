"""Installations that wait for an account, published so that alerting asks nobody. Judges nothing."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.kpi import InstanceSnapshot
from uptake_metrics import snapshots
from uptake_metrics.installations import InstanceLine
from uptake_metrics.ordering import in_turns
from uptake_metrics.snapshots import Snapshot

_KIND = "instance"
_AT_A_TIME = 200  # rows a statement: about 5 ms of the event loop


async def publish(connection: AsyncConnection, lines: Iterable[InstanceLine], now: datetime) -> None:
    """New revisions of those whose account, or the begin of whose waiting, is not what was published."""
    known = await snapshots.newest_of(connection, _KIND)
    new = [one async for line in in_turns(lines) if (one := _news(line, known.get(f"{_KIND}:{line.instance}"), now))]
    for start in range(0, len(new), _AT_A_TIME):
        await snapshots.insert(connection, new[start : start + _AT_A_TIME], now)


def _news(line: InstanceLine, newest: Snapshot | None, now: datetime) -> Snapshot | None:
    """What is to be published of it; one that was mapped from the start never waited."""
    was = InstanceSnapshot.model_validate(newest.body) if newest else None
    since = line.waiting_since or line.first_seen
    if line.account is not None:
        since = was.since if was else None
    if since is None or (was and (was.account, was.since) == (line.account, since)):
        return None
    message = InstanceSnapshot(
        instance=line.instance,
        account=line.account,
        since=since,
        revision=was.revision + 1 if was else 1,
        published_at=now,
    )
    return Snapshot(f"{_KIND}:{line.instance}", since.date(), message.revision, message.model_dump(mode="json"))
