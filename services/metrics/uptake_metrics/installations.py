"""Every installation that was ever heard of: whose it is, when it was heard, and what of it waits. It judges nothing.

Joins what facts say of it with what is kept of its usage.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake_metrics import instance_store
from uptake_metrics.instances import span
from uptake_metrics.ordering import in_turns
from uptake_metrics.register import Register

#: An installation that nobody has mapped for longer is somebody's work (alert rule `instance-unattributed`).
PATIENCE: Final = timedelta(hours=24)


class InstanceLine(BaseModel):
    """`GET /api/v1/instances`."""

    instance: str
    account: str | None = Field(description="null until a fact maps the installation")
    environment: str | None = Field(description="where its events count that name no environment of their own")
    first_seen: datetime | None = Field(description="its first event, heartbeat or ping; null when only mapped")
    last_contact: datetime | None
    waiting_events: int = Field(description="events that no account has yet")
    waiting_since: datetime | None = Field(description="when the first of them came")


async def lines(engine: AsyncEngine, register: Register) -> list[InstanceLine]:
    """Those that nobody has mapped first, then by name."""
    async with engine.connect() as connection:
        usage = await instance_store.usage(connection)
    heard, mapped = register.instances.heard(), register.instances.mapped
    unknown, known = list[InstanceLine](), list[InstanceLine]()
    async for name in in_turns(sorted(heard.keys() | usage.keys())):
        first, last = span(heard.get(name, ()))
        used, whose = usage.get(name), mapped.get(name)
        line = InstanceLine(
            instance=name,
            account=whose and whose.account,
            environment=whose and whose.environment,
            first_seen=min((at for at in (first, used and used.first_at) if at), default=None),
            last_contact=max((at for at in (last, used and used.last_at) if at), default=None),
            waiting_events=used.waiting if used else 0,
            waiting_since=used and used.waiting_since,
        )
        (unknown if line.account is None else known).append(line)
    return unknown + known


def unattributed(lines: Iterable[InstanceLine], now: datetime) -> list[InstanceLine]:
    """Installations that have sent something for more than a day, and that nobody has mapped."""
    return [
        line
        for line in lines
        if line.account is None and (seen := line.waiting_since or line.first_seen) and now - seen > PATIENCE
    ]
