"""The answers about storms that are held back, and letting them go: `/api/v1/breakers`. Decides nothing."""

from collections.abc import Callable
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.messages.fields import Instant
from uptake.problems import Problem
from uptake_alerting import storms
from uptake_alerting.answers.alerts import Asked
from uptake_alerting.tables import breaker


class Storm(BaseModel):
    """`breaching`: alerts of the rule that came at once, of `accounts` that it knows. `until`: it lets go by itself."""

    rule: str
    tripped_at: Instant
    until: Instant
    breaching: int
    accounts: int
    released_at: Instant | None
    released_by: str | None


class Released(BaseModel):
    """`changed` is false when somebody had let it go already."""

    changed: bool
    storm: Storm


def router(engine: AsyncEngine, clock: Callable[[], datetime]) -> APIRouter:
    found = APIRouter(prefix="/api/v1/breakers")
    newest = select(breaker).order_by(breaker.c.tripped_at.desc(), breaker.c.rule)

    @found.get("")
    async def held() -> list[Storm]:
        """The storms that are held back now, the newest first."""
        async with engine.connect() as connection:
            rows = await connection.execute(newest.where(breaker.c.released_at.is_(None), breaker.c.until > clock()))
            return [Storm.model_validate(row, from_attributes=True) for row in rows]

    @found.post("/{rule}/release")
    async def release(rule: str, body: Asked) -> Released:
        """Let the alerts of a storm go: whatever still fires comes to each person in one digest."""
        async with engine.begin() as connection:
            changed = await storms.release(connection, rule, body.by, clock())
            row = (await connection.execute(newest.where(breaker.c.rule == rule).limit(1))).first()
        if row is None:
            raise Problem(404, "nothing_held", f"no alerts of a rule {rule!r} are held back; `uptake alerts storms`")
        return Released(changed=changed, storm=Storm.model_validate(row, from_attributes=True))

    return found
