"""Answers about features and use cases, of one account or over all, and about calendar months. Computes no number."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from uptake.lists import Format, table
from uptake.messages.fields import SLUG
from uptake.messages.kpi import AccountKpis, BreadthKpi, RatioKpi
from uptake.problems import Problem
from uptake_metrics import features, not_counted
from uptake_metrics.activity import PRODUCTION
from uptake_metrics.answers.asking import Asking, AsOf
from uptake_metrics.answers.growth import Month, span
from uptake_metrics.features import MAU_DAYS, Users
from uptake_metrics.growth import last_day, month_after
from uptake_metrics.series import SeriesKey
from uptake_metrics.tally import WINDOW_DAYS
from uptake_metrics.use_cases import UseCases
from uptake_metrics.zones import DAY, closes_at, to_number

Kind = Literal["use_case", "feature"]
Environment = Annotated[str, Query(pattern=f"^{SLUG}$", description="each is counted apart from the others")]


class FeatureLine(BaseModel):
    """A feature or a use case of one account; `title` is that of a use case."""

    kind: Kind
    name: str
    title: str | None
    dau: int | None
    wau: int | None
    mau: int | None
    saturation: RatioKpi
    first_used: date | None


class AccountFeatures(BaseModel):
    """`GET /api/v1/accounts/{account}/features`: all that was used until `as_of`, most used first.

    `not_counted`: events of the 30 days that end at `as_of` that the activity policy refused, by reason; null of days
    of which it is not kept any more.
    """

    account: str
    as_of: date
    environment: str
    partial: bool
    mau: int | None
    reason: str | None
    breadth: BreadthKpi
    use_cases: list[FeatureLine]
    features: list[FeatureLine]
    not_counted: dict[str, int] | None


class FeatureOverall(BaseModel):
    """`GET /api/v1/features`: a feature or a use case over all accounts in production.

    `accounts` have an active user of it, `users` of them in all. `mean_saturation` is over the `known` accounts whose
    saturation is known, 0 for those that do not use it; of the `unknown` it is not.
    """

    kind: Kind
    name: str
    title: str | None
    accounts: int
    users: int
    mean_saturation: float | None
    known: int
    unknown: int
    reason: str | None


class MonthUsers(BaseModel):
    """`GET /api/v1/accounts/{account}/calendar`. `partial`: the month is not over."""

    account: str
    month: str
    first_day: date
    last_day: date
    partial: bool
    mau_calendar: int | None
    reason: str | None


def router(asking: Asking) -> APIRouter:
    """`/api/v1/features`, and of an account `features` and `calendar`."""
    router = APIRouter()

    @router.get("/api/v1/accounts/{account:path}/features", response_model=AccountFeatures)
    async def of_account(
        account: str, as_of: AsOf = None, environment: Environment = PRODUCTION, format: Format = "json"
    ) -> Response:
        """Features and use cases of one account, with saturation and the day of the first use."""
        found = await _of_account(asking, account, asking.day(account, as_of), environment)
        if format == "csv":
            return table([*found.use_cases, *found.features], format, FeatureLine)
        return Response(found.model_dump_json(), media_type="application/json")

    @router.get("/api/v1/features", response_model=list[FeatureOverall])
    async def overall(as_of: AsOf = None, format: Format = "json") -> Response:
        """Features and use cases over all accounts, on each one's own today or on another day."""
        kpis = {line.account.account: line.kpis for line in await asking.lines(as_of)}
        taxonomy = asking.evaluation.config.use_cases
        found = await asking.tally.features.mau({name: one.as_of for name, one in kpis.items()}, taxonomy)
        return table(await asyncio.to_thread(_overall, kpis, found, taxonomy), format, FeatureOverall)

    @router.get("/api/v1/accounts/{account:path}/calendar", response_model=list[MonthUsers])
    async def calendar(
        account: str,
        first: Annotated[Month, Query(alias="from")] = None,
        last: Annotated[Month, Query(alias="to")] = None,
        format: Format = "json",
    ) -> Response:
        """Distinct users by calendar month; without `from` and `to` the last twelve months."""
        months = _months(*span(first, last, asking.day(account, None)))
        return table(await _calendar(asking, account, months), format, MonthUsers)

    return router


async def people_behind(
    asking: Asking,
    account: str,
    day: date,
    window: str,
    feature: str | None,
    use_case: str | None,
    environment: str = PRODUCTION,
) -> list[str]:
    """The people behind a count, sorted. Raises `Problem` of a use case that the taxonomy does not have."""
    taxonomy = asking.evaluation.config.use_cases
    if use_case is not None and use_case not in taxonomy.use_cases:
        raise Problem(400, "unknown_use_case", f"use_cases.yml has no use case {use_case!r}")
    if use_case is not None and feature is not None:
        raise Problem(400, "invalid_query", "ask for the users of a feature or of a use case")
    if use_case is None and environment == PRODUCTION:
        return await asking.tally.users(account, day, window, feature)

    def counts(key: SeriesKey) -> bool:
        if use_case is not None:
            return key.kind == "feature" and use_case in taxonomy.of(key.feature)
        return key.kind == "total" if feature is None else key.kind == "feature" and key.feature == feature

    first = day - DAY * (WINDOW_DAYS[window] - 1)
    days = await asking.tally.features.of(account, first, day, environment)
    return await asking.tally.names(account, features.people(days, to_number(first), to_number(day), counts))


async def _of_account(asking: Asking, account: str, day: date, environment: str) -> AccountFeatures:
    line, taxonomy = await asking.board.line(account, day), asking.evaluation.config.use_cases
    days = await asking.tally.features.of(account, day - DAY * (MAU_DAYS - 1), day, environment)
    last = to_number(day)
    windows = {
        name: features.users(days, last - width + 1, last, taxonomy).get(account, Users())
        for name, width in WINDOW_DAYS.items()
    }
    mau = windows["mau"]
    unknown = features.why_unknown(line.kpis, mau.total)
    if environment != PRODUCTION:
        (tallied,) = await asking.tally.days(account, day, day, environment)
        unknown = features.why_unknown_apart(tallied.last_contact, mau.total)
    first_used = await asking.tally.features.first_uses(account, environment=environment)
    first_used = {name: first for name, first in first_used.items() if first <= day}
    async with asking.engine.connect() as connection:
        refused = await not_counted.of(connection, account, day - DAY * (MAU_DAYS - 1), day, asking.clock())
    return AccountFeatures(
        account=account,
        as_of=day,
        environment=environment,
        partial=line.kpis.partial,
        mau=None if features.is_unheard(unknown) else mau.total,
        reason=unknown,
        breadth=features.breadth(mau, taxonomy, unknown),
        use_cases=_use_cases(windows, unknown, taxonomy, first_used),
        features=_features(windows, unknown, first_used),
        not_counted=refused,
    )


def _features(windows: Mapping[str, Users], unknown: str | None, first_used: Mapping[str, date]) -> list[FeatureLine]:
    counts = {window: of.features for window, of in windows.items()}
    lines = [_line("feature", name, None, counts, windows, unknown, first) for name, first in first_used.items()]
    return sorted(lines, key=lambda line: (-(line.mau or 0), line.name))


def _use_cases(
    windows: Mapping[str, Users], unknown: str | None, taxonomy: UseCases, first_used: Mapping[str, date]
) -> list[FeatureLine]:
    first: dict[str, date] = {}
    for feature, day in first_used.items():
        for name in taxonomy.of(feature):
            first[name] = min(day, first.get(name, day))
    counts = {window: of.use_cases for window, of in windows.items()}
    return [
        _line("use_case", name, one.title, counts, windows, unknown, first.get(name))
        for name, one in taxonomy.use_cases.items()
    ]


def _line(
    kind: Kind,
    name: str,
    title: str | None,
    counts: Mapping[str, Mapping[str, int]],
    windows: Mapping[str, Users],
    unknown: str | None,
    first_used: date | None,
) -> FeatureLine:
    told = {window: None if features.is_unheard(unknown) else of.get(name, 0) for window, of in counts.items()}
    saturation = features.saturation(counts["mau"].get(name, 0), windows["mau"].total, unknown)
    return FeatureLine(kind=kind, name=name, title=title, **told, saturation=saturation, first_used=first_used)


def _overall(kpis: Mapping[str, AccountKpis], found: Mapping[str, Users], taxonomy: UseCases) -> list[FeatureOverall]:
    known = [of for name, of in found.items() if features.why_unknown(kpis[name], of.total) is None]
    titles = {name: one.title for name, one in taxonomy.use_cases.items()}
    by_use_case = features.overall([(of.use_cases, of.total) for of in known], taxonomy.names)
    by_feature = features.overall([(of.features, of.total) for of in known])

    def lines(kind: Kind, overall: Iterable[features.Overall]) -> list[FeatureOverall]:
        return [
            FeatureOverall(
                kind=kind,
                name=one.name,
                title=titles.get(one.name) if kind == "use_case" else None,
                accounts=one.accounts,
                users=one.users,
                mean_saturation=one.mean_saturation,
                known=len(known),
                unknown=len(found) - len(known),
                reason=None if known else "no_known_accounts",
            )
            for one in overall
        ]

    return [*lines("use_case", by_use_case), *lines("feature", by_feature)]


def _months(first: date, last: date) -> list[date]:
    months = [first]
    while months[-1] < last:
        months.append(month_after(months[-1]))
    return months


async def _calendar(asking: Asking, account: str, months: Sequence[date]) -> list[MonthUsers]:
    today, now, zone = asking.board.today(account), asking.clock(), asking.register.zone_of(account)
    masks = await asking.tally.masks(account, months[0], last_day(months[-1]))
    answers = []
    for month in months:
        end = last_day(month)
        kpis = (await asking.board.line(account, min(end, today))).kpis
        reason = "no_daily_counts" if kpis.source_of_counts == "pings" else kpis.reason
        answers.append(
            MonthUsers(
                account=account,
                month=f"{month:%Y-%m}",
                first_day=month,
                last_day=end,
                partial=now < closes_at(end, zone),
                mau_calendar=None if reason else features.mau_calendar(masks, month),
                reason=reason,
            )
        )
    return answers
