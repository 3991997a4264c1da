"""What a notice would look like in a channel: `/api/v1/alerts/{id}/preview`, `/api/v1/rules/{rule}/preview`."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.config import ConfigFile
from uptake.messages.alerts import AlertData
from uptake.problems import Problem
from uptake_alerting import listing, wording
from uptake_alerting.links import Links
from uptake_alerting.rules import META_RULES, Rules
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.preview import FORMS
from uptake_alerting.wording.examples import example

Channel = Annotated[
    Literal["text", "slack", "slack_app", "email", "webhook", "pagerduty", "alertmanager", "apprise"], Query()
]
Kind = Annotated[Literal["trigger", "update", "reminder", "escalation", "terminal"] | None, Query()]
_WHY = "this is a preview"


class Preview(BaseModel):
    """`form`: what the channel would get: JSON, or text of an e-mail and of plain words."""

    channel: str
    kind: str
    headline: str
    lines: list[str]
    form: str | dict[str, Any]


def router(engine: AsyncEngine, rules: ConfigFile[Rules], clock: Callable[[], datetime], links: Links) -> APIRouter:
    found = APIRouter()

    @found.get("/api/v1/alerts/{alert}/preview")
    async def of_alert(alert: str, channel: Channel = "text", kind: Kind = None) -> Preview:
        """The alert as it is now; by default as the notice of its beginning, or of its end."""
        async with engine.connect() as connection:
            known = await listing.alert(connection, alert, clock())
        if known is None:
            raise Problem(404, "unknown_alert", f"no alert {alert!r}; `uptake alerts` lists them")
        data = AlertData.model_validate(known.model_dump(include=set(AlertData.model_fields)))
        return _preview(data, channel, kind, clock(), links)

    @found.get("/api/v1/rules/{rule}/preview")
    async def of_rule(rule: str, channel: Channel = "text", kind: Kind = None) -> Preview:
        """An invented alert of the rule."""
        known = rules.current().by_name.get(rule)
        if known is None:
            raise Problem(404, "unknown_rule", f"no rule is called {rule!r}; `uptake rules list` names them")
        if rule in META_RULES:
            raise Problem(400, "invalid_request", f"{rule} is built in and about alerting itself: it has no example")
        return _preview(example(known, clock(), over=kind == "terminal"), channel, kind, clock(), links)

    return found


def _preview(data: AlertData, channel: str, kind: Kind, now: datetime, links: Links) -> Preview:
    kind = kind or ("terminal" if data.state in ("resolved", "closed") else "trigger")
    linked = links.added_to(data)
    notice = wording.notice(linked, _WHY, kind)
    letter = Letter("preview", kind, 0, now, _WHY, None, "preview", None, linked, notice)
    form = FORMS[channel](letter)
    return Preview(channel=channel, kind=kind, headline=notice.headline, lines=list(notice.lines), form=form)
