"""Features and use cases: how many people use them, saturation, breadth, first use. Pure; reads no store, no clock.

Source: the domain definition, sections "Activity" and "Beyond the handbook". Who is one person was decided before:
linked ids count as one here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from uptake.messages.kpi import AccountKpis, BreadthKpi, RatioKpi, UseCaseKpi
from uptake_metrics import archive
from uptake_metrics.growth import first_day, last_day
from uptake_metrics.kpis import rounded
from uptake_metrics.series import SeriesKey
from uptake_metrics.use_cases import UseCases
from uptake_metrics.userdays import EPOCH_DAYS, I32, U64, WINDOWS, Masks, starts
from uptake_metrics.zones import to_day, to_number

MAU_DAYS = WINDOWS[-1]


@dataclass(frozen=True, slots=True)
class FeatureDays:
    """Who used what on which day. Series number n of `masks` is `keys[n]`: totals and features of one environment."""

    keys: Sequence[SeriesKey]
    masks: Masks


@dataclass(frozen=True, slots=True)
class Users:
    """Distinct people of one account in one window; features and use cases that nobody used are not named."""

    total: int = 0
    features: Mapping[str, int] = field(default_factory=dict)
    use_cases: Mapping[str, int] = field(default_factory=dict)


def users(days: FeatureDays, first: int, last: int, taxonomy: UseCases) -> dict[str, Users]:
    """Of each account: the people active on any of the days `first..last`, in all, by feature and by use case.

    Somebody who used several features of a use case is one person of it, so a use case is no sum of features.
    Source: the domain definition, section "Activity": the same counts exist per feature and per use case.
    """
    rows = archive.within(days.masks, first, last)
    series, user = _distinct(days.masks.series[rows], days.masks.user[rows])
    totals, features = defaultdict[str, int](int), defaultdict[str, dict[str, int]](dict)
    use_cases = defaultdict[str, dict[str, int]](dict)
    for key, count in zip(days.keys, np.bincount(series, minlength=len(days.keys)).tolist(), strict=True):
        if key.kind == "total":
            totals[key.account] = count
        elif count:
            features[key.account][key.feature] = count
    for account, use_case, count in _by_use_case(days.keys, series, user, taxonomy):
        use_cases[account][use_case] = count
    accounts = dict.fromkeys(key.account for key in days.keys)
    return {one: Users(totals[one], features.get(one, {}), use_cases.get(one, {})) for one in accounts}


def daily_users(days: FeatureDays, first: int, last: int, taxonomy: UseCases) -> list[Users]:
    """`users` of the 30 days that end on each day `first..last`, oldest first; `days` are one account's."""
    masks, keys = days.masks, days.keys
    groups = {name: len(keys) + at for at, name in enumerate(taxonomy.names)}
    parts = [masks]
    for number, key in enumerate(keys):
        rows = slice(*np.searchsorted(masks.series, [number, number + 1]).tolist())
        for use_case in _use_cases(key, taxonomy):
            series = np.full(rows.stop - rows.start, groups[use_case], np.int32)
            parts.append(Masks(series, masks.epoch[rows], masks.user[rows], masks.mask[rows]))
    mau = archive.daily_mau(archive.merge(*parts), len(keys) + len(groups), first, last)
    return [_users(keys, groups, of_day) for of_day in mau.T.tolist()]


def _users(keys: Sequence[SeriesKey], groups: Mapping[str, int], mau: Sequence[int]) -> Users:
    """From the people of every series, and of every use case by its place."""
    counted = list(zip(keys, mau, strict=False))
    return Users(
        sum(count for key, count in counted if key.kind == "total"),
        {key.feature: count for key, count in counted if key.kind == "feature" and count},
        {use_case: mau[at] for use_case, at in groups.items() if mau[at]},
    )


def people(days: FeatureDays, first: int, last: int, counts: Callable[[SeriesKey], bool]) -> U64:
    """The people behind the count of some series, ascending; `days` are one account's."""
    wanted = [number for number, key in enumerate(days.keys) if counts(key)]
    masks = days.masks
    some = np.flatnonzero(np.isin(masks.series, np.array(wanted, np.int32)))
    return archive.active(Masks(masks.series[some], masks.epoch[some], masks.user[some], masks.mask[some]), first, last)


def first_days(days: FeatureDays) -> dict[SeriesKey, date]:
    """The day of the first use of each feature by each account; `days` are all there ever were, or the oldest epoch
    of each series."""
    masks, found = days.masks, dict[SeriesKey, date]()
    blocks = starts(masks.series, masks.epoch)
    if not len(blocks):
        return found
    bits = np.bitwise_or.reduceat(masks.mask, blocks)
    for at in starts(masks.series[blocks]).tolist():
        key, epoch, mask = days.keys[masks.series[blocks[at]]], int(masks.epoch[blocks[at]]), int(bits[at])
        if key.kind == "feature":
            found[key] = to_day(epoch * EPOCH_DAYS + (mask & -mask).bit_length() - 1)
    return found


def why_unknown(kpis: AccountKpis, mau: int) -> str | None:
    """Why saturation and breadth of the day of `kpis` are unknown; null when they are known.

    Pings tell of no feature; nobody knows anything of an account that was never heard of; 0 of 0 is no share.
    """
    if kpis.source_of_counts == "pings":
        return "no_feature_counts"
    if kpis.mau is None:
        return kpis.reason or "no_telemetry"
    return None if mau else "no_active_users"


def why_unknown_apart(last_contact: date | None, mau: int) -> str | None:
    """The same of an environment that no KPI is about: whatever the tier, its number is what was counted in it.

    `last_contact`: the last day on which an event of the account came, in any environment.
    """
    if last_contact is None:
        return "no_telemetry"
    return None if mau else "no_active_users"


def saturation(part: int, mau: int, unknown: str | None) -> RatioKpi:
    """MAU of a feature or a use case / MAU. Source: the domain definition, "Use-case correlation"."""
    return _ratio(part, mau, unknown)


def use_case_kpis(found: Users, taxonomy: UseCases, unknown: str | None) -> list[UseCaseKpi]:
    """Every use case of the taxonomy in its order; `found` is the MAU window."""
    return [
        UseCaseKpi(
            use_case=name,
            mau=None if is_unheard(unknown) else found.use_cases.get(name, 0),
            saturation=saturation(found.use_cases.get(name, 0), found.total, unknown),
        )
        for name in taxonomy.names
    ]


def breadth(found: Users, taxonomy: UseCases, unknown: str | None) -> BreadthKpi:
    """Use cases with at least one active user in the MAU window, and use cases per active user on average."""
    return BreadthKpi(
        used=None if is_unheard(unknown) else len(found.use_cases),
        of=len(taxonomy.names),
        per_user=_ratio(sum(found.use_cases.values()), found.total, unknown),
    )


@dataclass(frozen=True, slots=True)
class Overall:
    """A feature or a use case over many accounts."""

    name: str
    accounts: int
    users: int
    mean_saturation: float | None


def overall(accounts: Sequence[tuple[Mapping[str, int], int]], names: Sequence[str] = ()) -> list[Overall]:
    """Of accounts whose saturation is known, each its MAU by name and in all: `names` first, then the most used.

    The mean is of ratios, one of each account, 0 where nobody uses it. A user is a user of one account, so they add up.
    """
    shares = {name: list[Fraction]() for name in names}
    users = Counter[str]()
    for by_name, total in accounts:
        for name, mau in by_name.items():
            shares.setdefault(name, []).append(Fraction(mau, total))
            users[name] += mau
    found = [
        Overall(name, len(of), users[name], rounded(sum(of, Fraction()) / len(accounts)) if accounts else None)
        for name, of in shares.items()
    ]
    return [*found[: len(names)], *sorted(found[len(names) :], key=lambda one: (-one.users, one.name))]


def mau_calendar(masks: Masks, month: date) -> int:
    """Distinct people active on any local day of a calendar month, for invoices and reviews; never alerted on.

    `masks` is one series. Source: the domain definition, section "Activity".
    """
    return len(archive.active(masks, to_number(first_day(month)), to_number(last_day(month))))


def is_unheard(unknown: str | None) -> bool:
    """Nobody active is a number: 0."""
    return unknown not in (None, "no_active_users")


def _ratio(num: int, den: int, unknown: str | None) -> RatioKpi:
    if is_unheard(unknown):
        return RatioKpi(value=None, num=None, den=None, reason=unknown)
    value = Fraction(num, den) if unknown is None else None
    return RatioKpi(value=rounded(value), num=num, den=den, reason=unknown)


def _use_cases(key: SeriesKey, taxonomy: UseCases) -> tuple[str, ...]:
    return taxonomy.of(key.feature) if key.kind == "feature" else ()


def _by_use_case(
    keys: Sequence[SeriesKey], series: I32, user: U64, taxonomy: UseCases
) -> Iterator[tuple[str, str, int]]:
    """Account, use case and how many, from distinct (series, user) that ascend."""
    groups, members = dict[tuple[str, str], int](), list[tuple[int, int]]()  # (series, group)
    for number in series[starts(series)].tolist():
        for use_case in _use_cases(keys[number], taxonomy):
            members.append((number, groups.setdefault((keys[number].account, use_case), len(groups))))
    if not members:
        return
    number, group = np.array(members, np.int32).T
    begin, end = np.searchsorted(series, number), np.searchsorted(series, number, side="right")
    rows = np.concatenate([np.arange(first, last) for first, last in zip(begin, end, strict=True)])
    of_group, _ = _distinct(np.repeat(group, end - begin), user[rows])
    counts = np.bincount(of_group, minlength=len(groups)).tolist()
    yield from ((account, use_case, counts[at]) for (account, use_case), at in groups.items())


def _distinct(series: npt.NDArray[np.int32], user: U64) -> tuple[I32, U64]:
    order = np.lexsort((user, series))
    series, user = series[order], user[order]
    heads = starts(series, user)
    return series[heads], user[heads]
