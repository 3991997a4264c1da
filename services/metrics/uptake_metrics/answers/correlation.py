"""Answers about what goes together with usage, over all accounts. Computes no number."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from uptake.lists import Format, table
from uptake.messages.kpi import AccountKpis
from uptake.problems import Problem
from uptake_metrics.answers.asking import FIRST_DAY, Asking
from uptake_metrics.correlation import LAG_DAYS, Habits
from uptake_metrics.features import Users
from uptake_metrics.use_cases import UseCases
from uptake_metrics.zones import last_closed_day

LAG = timedelta(days=LAG_DAYS)


class CorrelationLine(BaseModel):
    """`GET /api/v1/correlation`: saturation in the 30 days that end at `saturation_as_of` against usage at `as_of`.

    `n` accounts are compared; `left_out` are those whose usage or saturation is unknown. A null says why in `reason`.
    """

    kind: Literal["use_case", "feature"]
    name: str
    title: str | None
    as_of: date
    saturation_as_of: date
    n: int
    left_out: int
    pearson: float | None
    spearman: float | None
    reason: str | None


def router(asking: Asking) -> APIRouter:
    """`/api/v1/correlation`."""
    router = APIRouter()

    @router.get("/api/v1/correlation", response_model=list[CorrelationLine])
    async def correlation(
        as_of: Annotated[date | None, Query(description="the day of usage; default: the last closed one")] = None,
        format: Format = "json",
    ) -> Response:
        """Use cases and features against the usage that followed, up to the vendor's last closed day."""
        newest = last_closed_day(asking.clock(), asking.vendor_zone)
        day = _in_range(as_of, newest) if as_of else newest
        before = day - LAG
        kpis = [line.kpis for line in await asking.lines(day)]
        taxonomy = asking.evaluation.config.use_cases
        used = await asking.tally.features.mau({one.account: before for one in kpis}, taxonomy)
        return table(await asyncio.to_thread(_lines, kpis, used, taxonomy, day, before), format, CorrelationLine)

    return router


def _in_range(day: date, newest: date) -> date:
    """By the time the vendor's day is closed it has begun for every account; of a later one some would be missing."""
    oldest = FIRST_DAY + LAG
    if not oldest <= day <= newest:
        detail = f"ask for a day from {oldest}, since saturation is of {LAG.days} days before, to {newest}, the last"
        raise Problem(400, "invalid_day", f"{detail} that is closed for the vendor")
    return day


def _lines(
    kpis: Sequence[AccountKpis], used: Mapping[str, Users], taxonomy: UseCases, day: date, before: date
) -> list[CorrelationLine]:
    known = [(one, used[one.account]) for one in kpis if one.usage.value is not None and used[one.account].total]
    habits = Habits([Fraction(one.usage.num or 0, one.usage.den or 1) for one, _ in known])
    of_use_case = {name: dict[int, Fraction]() for name in taxonomy.names}
    of_feature = defaultdict[str, dict[int, Fraction]](dict)
    for place, (_, users) in enumerate(known):
        for name, mau in users.use_cases.items():
            of_use_case[name][place] = Fraction(mau, users.total)
        for name, mau in users.features.items():
            of_feature[name][place] = Fraction(mau, users.total)

    def line(kind: Literal["use_case", "feature"], name: str, saturation: Mapping[int, Fraction]) -> CorrelationLine:
        return CorrelationLine(
            kind=kind,
            name=name,
            title=taxonomy.use_cases[name].title if kind == "use_case" else None,
            as_of=day,
            saturation_as_of=before,
            left_out=len(kpis) - len(known),
            **habits.with_saturation(saturation)._asdict(),
        )

    features = [line("feature", name, saturation) for name, saturation in of_feature.items()]
    strongest = sorted(features, key=lambda one: (one.spearman is None, -(one.spearman or 0), one.name))
    return [*(line("use_case", name, saturation) for name, saturation in of_use_case.items()), *strongest]
