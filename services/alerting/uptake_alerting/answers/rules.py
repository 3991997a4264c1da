"""The answer about rules: which are in force: `/api/v1/rules`. Decides nothing."""

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.config import ConfigFile
from uptake.messages.alerts import Severity
from uptake_alerting.rules import Rule, Rules
from uptake_alerting.tables import episode


class RuleLine(BaseModel):
    """`when` in words; `hold`: how long it must be so; `open`: alerts of it that have not ended."""

    rule: str
    subject: str
    when: str
    hold: str
    severity: Severity
    deliver: str
    to: list[str]
    inhibits: list[str]
    open: int


class RulesAnswer(BaseModel):
    """`problem`: why a newer file is not in force."""

    rules: list[RuleLine]
    problem: str | None


def router(engine: AsyncEngine, rules: ConfigFile[Rules]) -> APIRouter:
    found = APIRouter(prefix="/api/v1/rules")

    @found.get("")
    async def in_force() -> RulesAnswer:
        """The rules in force, in the order of the file."""
        counted = select(episode.c.rule, func.count()).where(episode.c.ended_at.is_(None)).group_by(episode.c.rule)
        async with engine.connect() as connection:
            open_ones = {rule: count for rule, count in await connection.execute(counted)}
        lines = [_line(rule, open_ones.get(rule.name, 0)) for rule in rules.current().alerts]
        return RulesAnswer(rules=lines, problem=rules.error)

    return found


def _line(rule: Rule, open_ones: int) -> RuleLine:
    hold = "" if rule.hold.number == 1 else f"{rule.hold.number} {rule.hold.unit.replace('_', ' ')}"
    return RuleLine(
        rule=rule.name,
        subject=str(rule.subject_kind),
        when=rule.when.text if rule.when else "",
        hold=hold,
        severity=rule.severity,
        deliver=rule.delivery_of(rule.severity),
        to=list(rule.to),
        inhibits=list(rule.inhibits),
        open=open_ones,
    )
