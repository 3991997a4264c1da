"""The answers about silences, and making and ending them: `/api/v1/silences`. Decides nothing."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.lists import Format, table
from uptake.messages.fields import FreeText, Instant
from uptake.problems import Problem
from uptake_alerting import silence_store
from uptake_alerting.answers.alerts import Asked, Length, Limit
from uptake_alerting.answers.instants import AskedInstant
from uptake_alerting.handling import parse_length
from uptake_alerting.silence_store import Listed, State
from uptake_alerting.silences import Matcher, parse_matcher, refusal


class NewSilence(Asked):
    """`matchers`: all must match, such as `account=acme` or `region!=emea`; by `rule`, `account`, `region`, `owner`,
    `severity`, `subject`, `subject_kind` and the labels of the rule. `ends_at` or `for` (`4h`, `7d`), 30 days at most.
    """

    matchers: list[str] = Field(max_length=20)
    comment: FreeText
    starts_at: AskedInstant | None = None
    ends_at: AskedInstant | None = None
    lasts: Length | None = Field(None, alias="for")


class SilenceLine(BaseModel):
    """`covers`: how many open alerts it matches now. `expired_by`: who ended it early."""

    id: str
    state: State
    matchers: list[str]
    created_by: str
    comment: str
    created_at: Instant
    starts_at: Instant
    ends_at: Instant
    expired_by: str | None
    covers: int


class Silenced(BaseModel):
    """`changed` is false when it was so already."""

    changed: bool
    silence: SilenceLine


def router(engine: AsyncEngine, clock: Callable[[], datetime]) -> APIRouter:
    found = APIRouter(prefix="/api/v1/silences")

    @found.get("", response_model=list[SilenceLine])
    async def silences(
        state: Annotated[State | None, Query(description="default: those in force and those to come")] = None,
        limit: Limit = 200,
        format: Format = "json",
    ) -> list[SilenceLine] | Response:
        """Those that end last come first."""
        now = clock()
        async with engine.connect() as connection:
            known = await silence_store.listed(connection, state or "current", now, limit)
        lines = [_line(one, now) for one in known]
        return table(lines, "csv", SilenceLine) if format == "csv" else lines

    @found.get("/{silence_id}")
    async def silence(silence_id: str) -> SilenceLine:
        return await _found(engine, silence_id, clock())

    @found.post("")
    async def add(body: NewSilence) -> Silenced:
        """Nobody is told of the alerts that match until it ends; they go on. The same one twice is made once."""
        now = clock()
        asked = _asked(body, now)
        async with engine.begin() as connection:
            silence_id, changed = await silence_store.add(connection, asked, now)
        return Silenced(changed=changed, silence=await _found(engine, silence_id, now))

    @found.post("/{silence_id}/expire")
    async def expire(silence_id: str, body: Asked) -> Silenced:
        """End it now: what fires and was not told is told."""
        now = clock()
        async with engine.begin() as connection:
            changed = await silence_store.expire(connection, silence_id, body.by, now)
        return Silenced(changed=bool(changed), silence=await _found(engine, silence_id, now))

    return found


async def _found(engine: AsyncEngine, silence_id: str, now: datetime) -> SilenceLine:
    async with engine.connect() as connection:
        known = await silence_store.one(connection, silence_id, now)
    if known is None:
        detail = f"no silence {silence_id!r} is on record; `uptake silences` lists them"
        raise Problem(404, "unknown_silence", detail)
    return _line(known, now)


def _asked(body: NewSilence, now: datetime) -> silence_store.Asked:
    if not body.comment.strip():
        raise Problem(400, "invalid_request", "comment: say why")
    if (body.ends_at is None) == (body.lasts is None):
        raise Problem(400, "invalid_request", "ends_at, for: give one of them: until when, or for how long")
    starts_at = body.starts_at or now
    ends_at = body.ends_at or starts_at + parse_length(body.lasts or "")
    matchers = tuple(dict.fromkeys(map(_matcher, body.matchers)))
    if (wrong := refusal(matchers, starts_at, ends_at, now)) is not None:
        raise Problem(400, "invalid_request", f"a silence is refused: {wrong}")
    return silence_store.Asked(matchers, body.by, body.comment, starts_at, ends_at)


def _matcher(text: str) -> Matcher:
    try:
        return parse_matcher(text)
    except ValueError as error:
        raise Problem(400, "invalid_request", f"matchers: {error}") from None


def _line(one: Listed, now: datetime) -> SilenceLine:
    return SilenceLine(
        id=one.silence.id,
        state=one.state(now),
        matchers=[str(matcher) for matcher in one.silence.matchers],
        created_by=one.created_by,
        comment=one.comment,
        created_at=one.created_at,
        starts_at=one.silence.starts_at,
        ends_at=one.silence.ends_at,
        expired_by=one.expired_by,
        covers=one.covers,
    )
