"""Published revisions out of the outbox to NATS, at least once. Computes and judges nothing."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import attrgetter

from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import subjects
from uptake.messages.fields import Message
from uptake.messages.kpi import AccountSnapshot, InstanceSnapshot, TeamSnapshot, TrialSnapshot
from uptake_metrics import meters, snapshots
from uptake_metrics.snapshots import Snapshot

_AT_A_TIME = 200
_MESSAGES: dict[str, tuple[Callable[[str], str], type[Message]]] = {
    "account": (subjects.kpi_account, AccountSnapshot),
    "trial": (subjects.kpi_trial, TrialSnapshot),
    "instance": (subjects.kpi_instance, InstanceSnapshot),
    "team": (lambda _: subjects.kpi_team(), TeamSnapshot),
}
"""By the kind of what is published: its subject on the broker, and its message."""


async def send(engine: AsyncEngine, js: JetStreamContext) -> int:
    """Some of what is unsent; returns how much. A repeat after a crash is recognised by its message id."""
    async with engine.connect() as connection:
        waiting = await snapshots.unsent(connection, _AT_A_TIME)
    if waiting:
        of_subject = groupby(waiting, key=attrgetter("subject"))
        sent: list[Snapshot] = []
        each = (_publish_in_order(js, list(parts), sent) for _, parts in of_subject)
        outcomes = await asyncio.gather(*each, return_exceptions=True)
        async with engine.begin() as connection:
            await snapshots.mark_sent(connection, sent)
        meters.SNAPSHOTS.inc(len(sent))
        for error in filter(None, outcomes):  # of one account: the others are sent all the same
            raise error
    return len(waiting)


async def _publish_in_order(js: JetStreamContext, of_subject: Sequence[Snapshot], sent: list[Snapshot]) -> None:
    """The next part only when the broker has stored the one before."""
    for snapshot in of_subject:
        await _publish(js, snapshot)
        sent.append(snapshot)


async def _publish(js: JetStreamContext, snapshot: Snapshot) -> None:
    kind, _, name = snapshot.subject.partition(":")
    subject_of, message_class = _MESSAGES[kind]
    subject, message = subject_of(name), message_class.model_validate(snapshot.body)
    await js.publish(
        subject,
        message.model_dump_json().encode(),
        headers={"Nats-Msg-Id": f"{subject}/{snapshot.day}/{snapshot.revision}"},
        timeout=5,
    )
