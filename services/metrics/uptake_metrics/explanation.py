"""Every number of one account on one day with all that it is made of, so that a person can recompute it by hand.

It computes no number: `formulas` says how each is made, and this module which facts said so.
"""

from typing import Any, Literal

from uptake.messages.events import LicenseIssued
from uptake.messages.fields import Day, Instant, Message
from uptake.messages.kpi import AccountKpis
from uptake_metrics.evidence import Evidence, of_license, said_by
from uptake_metrics.formulas import Known, Number, numbers, plain
from uptake_metrics.seats import in_force, statements
from uptake_metrics.zones import closes_at


class License(Message):
    """What is said of one licence at the end of the day, and the fact that said so."""

    license: str
    seats: int | Literal["unlimited"] | None
    environment: str
    starts_at: Instant
    expires_at: Instant | None
    revoked: bool
    in_force: bool
    fact: Evidence | None


class Explanation(Message):
    """`GET /api/v1/accounts/{account}/explain`.

    `attributes`: the account's attributes that the numbers rest on, as they held on the day. `said_by`: the fact behind
    each; null where none ever said anything and the default holds.
    """

    account: str
    as_of: Day
    time_zone: str
    partial: bool
    closes_at: Instant
    revision: int
    numbers: list[Number]
    licenses: list[License]
    attributes: dict[str, Any]
    said_by: dict[str, Evidence | None]
    kpis: AccountKpis


#: Of these the statement of the day holds, of the others the newest.
_DATED = ("segment", "policy", "seats_basis", "addressable", "telemetry")
_ATTRIBUTES = ("production_date", "contract_start", "time_zone", *_DATED)


def explain(known: Known) -> Explanation:
    """Of each attribute that the numbers rest on, also the fact that said so."""
    kpis, account = known.kpis, known.account
    return Explanation(
        account=kpis.account,
        as_of=kpis.as_of,
        time_zone=kpis.time_zone,
        partial=kpis.partial,
        closes_at=closes_at(kpis.as_of, kpis.time_zone),
        revision=kpis.revision,
        numbers=numbers(known),
        licenses=_licenses(known),
        attributes={name: plain(getattr(account, name)) for name in _ATTRIBUTES},
        said_by={
            name: said_by(known.facts, name, kpis.as_of if name in _DATED else None, account.time_zone)
            for name in _ATTRIBUTES
        },
        kpis=kpis,
    )


def _licenses(known: Known) -> list[License]:
    held = {one.license for one in in_force(known.account, known.kpis.as_of)}
    return [
        License(
            license=name,
            seats=said.seats,
            environment=said.environment,
            starts_at=said.starts_at or said.occurred_at,
            expires_at=said.expires_at,
            revoked=not isinstance(said, LicenseIssued),
            in_force=name in held,
            fact=of_license(known.facts, said),
        )
        for name, said in sorted(statements(known.account, known.kpis.as_of).items())
    ]
