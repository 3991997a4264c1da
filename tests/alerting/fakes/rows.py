"""Episodes and notices as rows, for tests that begin where planning ends."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.messages.alerts import AlertData, AlertEvent
from uptake_alerting.routes import RoutesFile
from uptake_alerting.tables import alert_event, delivery, episode


def alert_of(subject: str, at: datetime, values: dict[str, Any], **other: Any) -> AlertData:
    """An account below its target."""
    known = {
        "episode": f"e-{subject}",
        "number": 1,
        "rule": "adoption-below-target",
        "subject_kind": "account",
        "subject": subject,
        "account": subject,
        "region": "emea",
        "severity": "warning",
        "state": "firing",
        "reason": "firing",
        "since": date(2026, 5, 1),
        "fired_at": at,
        "detected_at": at,
        "owner": "ce-1",
        "summary": f"{subject} is low",
        "next_step": "Ask.",
        "values": values,
    }
    return AlertData(**known | other)


class Rows:
    """`routes`: where destinations get their names from."""

    def __init__(
        self, engine: AsyncEngine, now: datetime, values: dict[str, Any], routes: RoutesFile | None = None
    ) -> None:
        self._engine, self._now, self._values, self._routes = engine, now, values, routes

    async def notice(self, id_: str, subject: str, channel: str, channel_type: str, **other: Any) -> None:
        """A pending trigger of the account `subject`; `other` replaces columns."""
        data = alert_of(subject, self._now, self._values)
        async with self._engine.begin() as connection:
            event = await self._event(connection, data)
            row = {
                "id": id_,
                "episode": data.episode,
                "event": event,
                "kind": "trigger",
                "channel": channel,
                "channel_type": channel_type,
                "destination": self._routes.current().channels[channel].destination() if self._routes else "somewhere",
                "why": "it is a test",
                "status": "pending",
                "created_at": self._now,
                "due_at": self._now,
            }
            await connection.execute(insert(delivery).values(row | other))

    async def end(self, subject: str) -> None:
        async with self._engine.begin() as connection:
            mine = episode.c.id == f"e-{subject}"
            await connection.execute(update(episode).where(mine).values(ended_at=self._now, state="resolved"))

    async def deliveries(self) -> dict[str, Any]:
        async with self._engine.connect() as connection:
            return {row.id: row for row in await connection.execute(select(delivery))}

    async def everything(self) -> str:
        """All that is stored, as text."""
        async with self._engine.connect() as connection:
            found = [(await connection.execute(select(table))).all() for table in (delivery, episode, alert_event)]
        return repr(found)

    async def _event(self, connection: AsyncConnection, data: AlertData) -> str:
        about = {
            "id": data.episode,
            "rule": data.rule,
            "subject": data.subject,
            "number": 1,
            "state": data.state,
            "reason": data.reason,
            "since": data.since,
            "fired_at": self._now,
            "detected_at": self._now,
            "data": data.model_dump(mode="json"),
            "severity": data.severity,
        }
        await connection.execute(upsert(episode).values(about).on_conflict_do_nothing())
        event = AlertEvent(
            id=f"{data.episode}-1", type="alert.v1.firing", subject=data.subject, time=self._now, data=data
        )
        row = {
            "id": event.id,
            "episode": data.episode,
            "kind": "firing",
            "reason": "firing",
            "at": self._now,
            "subject": "alert.v1.firing",
            "body": event.model_dump(mode="json"),
        }
        await connection.execute(upsert(alert_event).values(row).on_conflict_do_nothing())
        return event.id
