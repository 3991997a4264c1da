"""Snapshots of histories that never were, for tests of alert rules: the same definitions as for real ones. Pure.

`uptake-metrics sample FILE` prints them as JSON lines `{"test", "kind", "snapshot"}`; it needs no settings and nothing
that runs.
"""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from uptake import config
from uptake.complaints import in_plain_words
from uptake.messages.facts import Fact, FactEvent
from uptake.messages.kpi import TrialUsage
from uptake.rule_tests import MEAN_DAYS, AccountSeries, Case, RuleTests
from uptake_metrics import account_snapshots, accounts, sales_snapshots, seats, trials
from uptake_metrics.config import shipped_policies
from uptake_metrics.feature_tally import Uses
from uptake_metrics.features import Users
from uptake_metrics.kpis import Counts, account_kpis
from uptake_metrics.policies import Policies
from uptake_metrics.use_cases import UseCases
from uptake_metrics.zones import closes_at, day_start

_LONG_BEFORE = timedelta(days=4_000)
_WINDOW_DAYS = 30
_SOURCE = "test"
_EVENT: TypeAdapter[Any] = TypeAdapter(FactEvent)
_NOT_OF_THE_ACCOUNT = {"account", "seats"}


class BadFact(ValueError):
    """The event at this place of `facts` is none."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"facts.{number}.{problem}")
        self.number = number


def samples(case: Case, policies: Policies) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and snapshot of each closed day that anything is known of; of a trial, whenever a fact moved it.

    Raises BadFact.
    """
    return _of_trial(case) if case.trial is not None else _of_account(case, policies)


def _of_account(case: Case, policies: Policies) -> Iterator[tuple[str, dict[str, Any]]]:
    assert case.account is not None  # noqa: S101  # the file has been checked
    assert case.series is not None  # noqa: S101  # likewise
    told = list(_facts(case, _introduction(case)))
    contact, counts = None, None
    for number, mau in enumerate(case.series.mau):
        day = case.start + timedelta(days=number)
        zone = case.account.time_zone
        now = closes_at(day, zone)
        account = accounts.fold(case.account.account, [fact for fact in told if fact.occurred_at < now])
        if mau is not None:
            contact, counts = day, _counts(case.series, number)
        kpis = account_kpis(account, day, counts, contact, now, 1, policies)
        if mau is None and kpis.data_health == "fresh":
            continue  # nobody knows anything of the day, and it is too early to call that silence
        rise = seats.last_rise(seats.rises(account, day - timedelta(days=seats.GRACE_DAYS), day), day)
        first_used = {name: used_on for used_on, names in case.first_used.items() for name in names}
        uses = Uses({day: Users(kpis.mau or 0)}, first_used)
        made = account_snapshots.of_day(account.on(day), kpis, uses, UseCases(), rise, None, now)
        yield "account", made.body


def _counts(series: AccountSeries, number: int) -> Counts:
    """As even as these numbers allow. Where none is given: everybody came on every other day."""
    mau = series.mau[number]
    of_28 = _value(series.userdays28, number, mau * MEAN_DAYS // 2)
    dau = _value(series.dau, number, of_28 // MEAN_DAYS)
    rest, more = divmod(max(of_28 - dau, 0), MEAN_DAYS - 1)
    before = [rest + (place < more) for place in range(MEAN_DAYS - 1)]
    older = [rest] * (_WINDOW_DAYS - MEAN_DAYS)
    return Counts((*older, *before, dau), _value(series.wau, number, mau), mau)


def _value(values: Any, number: int, otherwise: int) -> int:
    return otherwise if values is None or values[number] is None else int(values[number])


def _introduction(case: Case) -> list[dict[str, Any]]:
    """What was known of the account before the first day."""
    about = case.account
    assert about is not None  # noqa: S101  # the file has been checked
    at = {"account": about.account, "occurred_at": _text(day_start(_known_since(case), about.time_zone))}
    said = about.model_dump(mode="json", exclude=_NOT_OF_THE_ACCOUNT, exclude_none=True)
    events = [{"id": "account", "type": "account.updated"} | at | said]
    if about.seats is not None:
        events.append({"id": "license", "type": "license.issued", "license": "license", "seats": about.seats} | at)
    return events


def _known_since(case: Case) -> date:
    return case.start - _LONG_BEFORE


def _of_trial(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    about = case.trial
    assert about is not None  # noqa: S101  # the file has been checked
    entered = {
        "id": "stage-4",
        "type": "opportunity.stage_changed",
        "occurred_at": _text(datetime.combine(about.stage_4, time(12), ZoneInfo(about.vendor_zone))),
        "stage": 4,
    } | about.model_dump(include={"opportunity", "account", "complexity", "engineer", "executive"}, exclude_none=True)
    told = sorted(_facts(case, [entered]), key=lambda fact: fact.occurred_at)
    account = accounts.Account(about.account, region=about.region, owner=about.owner)
    for revision, fact in enumerate(told, 1):
        clock = trials.fold(about.opportunity, told[:revision], about.vendor_zone)
        if clock is None:
            continue
        today = fact.occurred_at.astimezone(ZoneInfo(about.vendor_zone)).date()
        unused = TrialUsage(as_of=today, dau=None, wau=None, mau=None, reason="no_telemetry")
        made = sales_snapshots.of_trial(clock, today, account, unused, revision, about.vendor_zone, fact.occurred_at)
        yield "trial", made.body


def _facts(case: Case, introduction: list[dict[str, Any]]) -> Iterator[Fact]:
    for number, said in enumerate([*introduction, *case.facts]):
        try:
            event = _EVENT.validate_python({"id": f"fact-{number}"} | said)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise BadFact(number - len(introduction), f"{where}: {in_plain_words(first)}") from None
        if unknown := said.keys() - type(event).model_fields.keys():
            raise BadFact(number - len(introduction), f"{min(unknown)}: is not known here")
        yield Fact(source=_SOURCE, received_at=event.occurred_at, event=event)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def main(words: list[str]) -> int:
    """`sample FILE`: 0, or 2 when the file is wrong."""
    if len(words) != 1:
        sys.stderr.write("uptake-metrics: sample needs one file\n")
        return 2
    file = Path(words[0])
    try:
        text = file.read_text(encoding="utf-8")
        tests = config.parse(text, RuleTests)
        policies = _policies(file, tests)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{file}: {error}\n")
        return 2
    for number, case in enumerate(tests.tests):
        try:
            for kind, snapshot in samples(case, policies):
                sys.stdout.write(json.dumps({"test": number, "kind": kind, "snapshot": snapshot}) + "\n")
        except BadFact as error:
            line = config.line_of(text, "tests", number, "facts", error.number)
            sys.stderr.write(f"{file}: line {line}: {error}\n")
            return 2
    return 0


def _policies(file: Path, tests: RuleTests) -> Policies:
    if tests.policies is None:
        return shipped_policies()
    return config.read(file.parent / tests.policies, Policies)
