"""What is published of a day of an account: puts the message together. Stores and sends none."""

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from uptake.messages.kpi import AccountKpis, AccountSnapshot
from uptake_metrics import features, worklist
from uptake_metrics.accounts import Account
from uptake_metrics.feature_tally import Uses
from uptake_metrics.seats import SeatChange
from uptake_metrics.snapshots import Snapshot
from uptake_metrics.use_cases import UseCases
from uptake_metrics.zones import closes_at

_FEATURE_BYTES = 8 * 1024  # of 64 KiB, which a snapshot may have
_ATTRIBUTES = (
    "name",
    "region",
    "segment",
    "plan",
    "owner",
    "deputy",
    "executive",
    "manager",
    "churned_at",
    "production_date",
    "contract_start",
)


def of_day(
    account: Account,
    kpis: AccountKpis,
    uses: Uses,
    taxonomy: UseCases,
    rise: SeatChange | None,
    facts_to: int | None,
    now: datetime,
) -> Snapshot:
    """One revision of the day of `kpis`; `account` as it was on that day."""
    day = kpis.as_of
    used = uses.mau[day]
    unknown = features.why_unknown(kpis, used.total)
    first_used = uses.first_used_on(day)
    named = _named(first_used)
    message = AccountSnapshot(
        account=account.account,
        **{field: getattr(account, field) for field in _ATTRIBUTES},
        seats_changed_on=rise and rise.on,
        seats_before=rise and rise.before,
        seat_grace_until=rise and rise.grace_until,
        published_at=now,
        closed_at=closes_at(day, account.time_zone),
        facts_to=facts_to,
        kpis=kpis,
        use_cases=features.use_case_kpis(used, taxonomy, unknown),
        breadth=features.breadth(used, taxonomy, unknown),
        features_first_used=named,
        more_features=len(first_used) - len(named),
    )
    return Snapshot(worklist.account(account.account), day, kpis.revision, message.model_dump(mode="json"))


def _named(features: Sequence[str]) -> list[str]:
    """As many as a message has room for: producers name features, and may name hundreds on one day."""
    ends = accumulate(len(feature.encode()) for feature in features)
    return [feature for feature, end in zip(features, ends, strict=True) if end <= _FEATURE_BYTES]
