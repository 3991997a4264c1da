"""The answers about alerts, and what people do about them: `/api/v1/alerts`. Decides nothing."""

import difflib
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.config import ConfigFile
from uptake.lists import Format, table
from uptake.messages.alerts import Severity
from uptake.messages.fields import FreeText, Label
from uptake.problems import Problem
from uptake_alerting import handling_store, listing
from uptake_alerting.answers.instants import AskedInstant
from uptake_alerting.handling import Action, Verb, parse_length
from uptake_alerting.listing import Alert, AlertDetail, AlertLine, Choice, StateFilter
from uptake_alerting.roster import Roster
from uptake_alerting.routes import Routes

_VIA = r"^[a-z][a-z0-9_-]{0,31}$"


def _length(text: str) -> str:
    parse_length(text)
    return text


Length = Annotated[str, AfterValidator(_length)]
Limit = Annotated[int, Query(ge=1, le=1000)]


class Asked(BaseModel):
    """What every request says that changes something. `via`: the door it came through, for the history."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    by: Label
    via: str = Field("api", pattern=_VIA)


class Request(Asked):
    """`until` or `for` (`4h`, `7d`): of an ack and a snooze. `to`: of an assignment, null is the owner. `note`: of a
    note. `comment`: why."""

    until: AskedInstant | None = None
    lasts: Length | None = Field(None, alias="for")
    to: Label | None = None
    comment: FreeText | None = None
    note: FreeText | None = None


class Handled(BaseModel):
    """`changed` is false when it was so already; `said` is one sentence for whoever asked."""

    changed: bool
    said: str
    alert: AlertDetail


def router(
    engine: AsyncEngine, rosters: ConfigFile[Roster], routes: ConfigFile[Routes], clock: Callable[[], datetime]
) -> APIRouter:
    found = APIRouter(prefix="/api/v1/alerts")

    @found.get("", response_model=list[Alert])
    async def alerts(
        state: StateFilter | None = None,
        rule: str | None = None,
        account: str | None = None,
        owner: str | None = None,
        severity: Severity | None = None,
        limit: Limit = 200,
        format: Format = "json",
    ) -> list[Alert] | Response:
        """Episodes, the newest first. `open` = firing or recovering; `owner`: who owns it or had it assigned."""
        choice = Choice(state, rule, account, owner, severity)
        async with engine.connect() as connection:
            alerts = await listing.alerts(connection, choice, limit, clock())
        return table(map(listing.line, alerts), "csv", AlertLine) if format == "csv" else alerts

    @found.get("/{alert_id}")
    async def alert(alert_id: str) -> AlertDetail:
        """One episode: its history, its notices, why they went where they went, and why none goes out now."""
        return await _detail(engine, alert_id, clock())

    @found.post("/{alert_id}/{action}")
    async def act(alert_id: str, action: Verb, body: Request) -> Handled:
        """What somebody does about it. The same twice is done once."""
        if action == "assign" and body.to is not None:
            _assert_known(body.to, rosters.current(), routes.current())
        async with engine.begin() as connection:
            done = await handling_store.handle(connection, alert_id, _action(action, body), clock)
        return Handled(changed=done.kind is not None, said=done.said, alert=await _detail(engine, alert_id, clock()))

    return found


async def _detail(engine: AsyncEngine, alert_id: str, now: datetime) -> AlertDetail:
    async with engine.connect() as connection:
        found = await listing.alert(connection, alert_id, now)
    if found is None:
        raise Problem(404, "unknown_alert", f"no alert {alert_id!r} is on record; `uptake alerts` lists them")
    return found


def _action(verb: Verb, body: Request) -> Action:
    """What another action would take is refused, rather than left out in silence."""
    given = {name for name in ("to", "comment", "note") if getattr(body, name) is not None}
    takes = {"assign": {"to", "comment"}, "note": {"note"}}.get(verb, {"comment"})
    if unknown := sorted(given - takes):
        raise Problem(400, "invalid_request", f"{', '.join(unknown)}: not of {verb}, which takes {_words(takes)}")
    if verb == "assign" and "to" not in body.model_fields_set:
        raise Problem(400, "invalid_request", "to: say to whom, or null to give it back to its owner")
    lasts = parse_length(body.lasts) if body.lasts is not None else None
    comment = body.note if verb == "note" else body.comment
    return Action(verb, body.by, body.via, body.until, lasts, body.to, comment)


def _words(names: set[str]) -> str:
    return " and ".join(sorted(names))


def _assert_known(person: str, roster: Roster, routes: Routes) -> None:
    """A slip in a name would give the alert to nobody. Without a roster, channels say who there is."""
    known: dict[str, Any] = dict.fromkeys(one.name for one in roster.people if one.active)
    known |= dict.fromkeys(name for channel in routes.channels.values() for name in channel.serves)
    left = person in roster.by_name and not roster.by_name[person].active
    if known and (left or person not in known):
        close = difflib.get_close_matches(person, known, n=3, cutoff=0.5)
        hint = f"Did you mean {', '.join(close)}?" if close else "Add them to roster.yml first."
        why = "is no longer active" if left else "is in neither roster.yml nor routes.yml"
        raise Problem(400, "unknown_person", f"{person!r} {why}. {hint}")
