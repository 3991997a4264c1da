"""The answer to whom an alert of a rule would go, and why: `/api/v1/route`. Decides nothing, and tells nobody."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, time
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.config import ConfigFile
from uptake.messages.alerts import Severity
from uptake.messages.fields import Instant
from uptake.problems import Problem
from uptake_alerting import planning, store
from uptake_alerting.about import for_whom
from uptake_alerting.answers.instants import AskedInstant
from uptake_alerting.cases import Case, case_of
from uptake_alerting.contacts import Book
from uptake_alerting.roster import Roster
from uptake_alerting.routes import Routes
from uptake_alerting.rules import Rule, Rules
from uptake_alerting.threads import Destination
from uptake_alerting.whom import About, Recipient, about_of

Name = Annotated[str | None, Query()]


class Told(BaseModel):
    """`person` null: whoever reads the channel. `at`: when the notice would go; `digest`: as a line of the digest."""

    person: str | None
    channel: str
    channel_type: str
    destination: str
    at: Instant
    digest: bool
    why: str


class Step(BaseModel):
    """`level` 0 is told first, each later one when nobody acted; `looked_at`: everybody who came into question."""

    level: int
    told: list[Told]
    looked_at: list[str]


class RouteAnswer(BaseModel):
    rule: str
    account: str | None
    trial: str | None
    severity: Severity
    at: Instant
    steps: list[Step]


def router(
    engine: AsyncEngine,
    rules: ConfigFile[Rules],
    rosters: ConfigFile[Roster],
    routes: ConfigFile[Routes],
    clock: Callable[[], datetime],
    digest_time: time = time(8),
) -> APIRouter:
    found = APIRouter()

    @found.get("/api/v1/route")
    async def route(
        rule: str,
        account: Name = None,
        trial: Name = None,
        severity: Annotated[Severity | None, Query(description="default: that of the rule")] = None,
        at: Annotated[AskedInstant | None, Query(description="an instant; default: now")] = None,
    ) -> RouteAnswer:
        """Who would be told of an alert that fires at an instant, level by level, with the roster and routes of now."""
        known = rules.current().by_name.get(rule)
        if known is None:
            raise Problem(404, "unknown_rule", f"no rule is called {rule!r}; `uptake rules list` names them")
        about = await _about(engine, known, account, trial)
        moment, severity = at or clock(), severity or known.severity
        case = case_of("", known, about, severity)
        book = Book(rosters.current(), routes.current(), moment, digest_time)
        steps = list(_steps(case, book))
        return RouteAnswer(rule=rule, account=account, trial=trial, severity=severity, at=moment, steps=steps)

    return found


async def _about(engine: AsyncEngine, rule: Rule, account: str | None, trial: str | None) -> About:
    """The people whom the newest snapshot names; of a team or an installation there is none."""
    if rule.subject_kind not in ("account", "trial") and account is None and trial is None:
        return about_of(rule.name, rule.to, None, None, {})
    named = {"account": account is not None, "trial": trial is not None}
    if [kind for kind, given in named.items() if given] != [rule.subject_kind]:
        wanted = {"account": "name an account", "trial": "name a trial"}.get(rule.subject_kind, "name neither")
        raise Problem(400, "invalid_request", f"{rule.name} is about {rule.subject_kind}s: {wanted}")
    async with engine.connect() as connection:
        if trial is not None:
            found = (await store.load_trials(connection, [trial])).get(trial)
            if found is None:
                raise Problem(404, "unknown_trial", f"no trial {trial!r} has been published")
            return for_whom(rule, found)
        newest = await store.newest_sample(connection, str(account))
    if newest is None:
        raise Problem(404, "unknown_account", f"no closed day of an account {account!r} has been published")
    return for_whom(rule, newest)


def _steps(case: Case, book: Book) -> Iterator[Step]:
    """Level by level, each at the instant at which it would be reached if nobody acted."""
    known: set[Destination] = set()
    for level in range(planning.TOP[case.severity] + 1):
        chosen = planning.choose(case, level, book, book.now)
        news = [to for to in chosen.recipients if (to.channel, to.destination) not in known]
        told = [_told(case, to, book) for to in news]
        yield Step(level=level, told=told, looked_at=list(chosen.steps))
        known |= {(to.channel, to.destination) for to in news}
        last = max((one for one in told if not one.digest), key=lambda one: one.at, default=None)
        if last is not None:
            book = replace(book, now=planning.step_up(case.severity, last.person, last.at, book))
        elif level == 0:
            return  # what fills a line of the digest, or reaches nobody, does not go up


def _told(case: Case, to: Recipient, book: Book) -> Told:
    mode, when = planning.when(case, to, book, book.now)
    return Told(
        person=to.person,
        channel=to.channel,
        channel_type=to.channel_type,
        destination=to.destination,
        at=when,
        digest=mode == "digest",
        why=to.why,
    )
