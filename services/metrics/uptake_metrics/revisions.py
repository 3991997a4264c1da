"""What made a revision of a published day: its causes as far as facts tell them, and always the fields that differ.

It reads no store. A cause is only named where something speaks for it: a fact that arrived between the two revisions
and can move a field that differs, the import that put the day on the worklist, or a field that nothing else moves.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal

from uptake.messages.events import (
    AccountUpdated,
    InstanceMapped,
    LicenseIssued,
    LicenseRevoked,
    UsagePing,
    UserDeleted,
    UserLinked,
    UserUnlinked,
)
from uptake.messages.facts import Fact
from uptake.messages.fields import Day, Instant, Message
from uptake.messages.kpi import AccountKpis, AccountSnapshot
from uptake_metrics.differences import Difference, differences
from uptake_metrics.evidence import Evidence, evidence
from uptake_metrics.zones import local_day

Cause = Literal[
    "day_closed",
    "usage",
    "import",
    "time_zone",
    "production_date",
    "contract_start",
    "license",
    "seats",
    "policy",
    "telemetry",
    "ping",
    "instance",
    "links",
    "erasure",
    "contact",
    "attributes",
    "unknown",
]
_NAMED = ("features_first_used", "more_features")
_COUNTS = ("kpis.dau", "kpis.wau", "kpis.mau", "kpis.usage.", "use_cases", "breadth", *_NAMED)
_COUNTED = ("kpis.dau", "kpis.wau", "kpis.mau", "kpis.usage.num", *_NAMED)
_CONTACT = ("kpis.data_health", "kpis.last_contact")
_TOLD = ("kpis.dau", "kpis.mau", "kpis.source_of_counts", "kpis.ping_day", "kpis.registered", *_CONTACT)
_SEATS = ("kpis.adoption.", "seat")
_LADDER = ("kpis.adoption.", "kpis.policy")
#: What a cause can move: the beginnings of fields of a snapshot.
_MOVES: dict[Cause, tuple[str, ...]] = {
    "time_zone": ("kpis.time_zone",),
    "production_date": ("production_date", "kpis.adoption.", "kpis.usage."),
    "contract_start": ("contract_start", "kpis.adoption."),
    "license": _SEATS,
    "seats": _SEATS,
    "policy": (*_LADDER, "segment"),
    "telemetry": ("kpis.",),
    "ping": _TOLD,
    "instance": (*_TOLD, *_COUNTED, "use_cases", "breadth"),
    "links": _COUNTS,
    "erasure": _COUNTS,
}
_OF_FIELD: dict[str, Cause] = {
    "time_zone": "time_zone",
    "production_date": "production_date",
    "contract_start": "contract_start",
    "segment": "policy",
    "policy": "policy",
    "seats_basis": "seats",
    "addressable": "seats",
    "telemetry": "telemetry",
}
_OF_EVENT: dict[type, Cause] = {
    LicenseIssued: "license",
    LicenseRevoked: "license",
    UsagePing: "ping",
    InstanceMapped: "instance",
    UserLinked: "links",
    UserUnlinked: "links",
    UserDeleted: "erasure",
}
_RECOUNTED: frozenset[Cause] = frozenset({"time_zone", "telemetry", "ping", "instance", "links", "erasure"})
_PASSING = {"kpis.revision", "published_at", "part", "parts", "import_id", "facts_to"}


class Revision(Message):
    """`GET /api/v1/accounts/{account}/history?revisions=all`: one published revision of one day.

    A cause `usage`: events that came late, or that a rebuild counted anew; `instance`: an installation was mapped, with
    what it brought or took along; `contact`: a sign of life that counts nobody. `facts`: those that arrived since the
    revision before and can have moved what differs. `differs` is empty of the first revision of a day.
    """

    account: str
    as_of: Day
    revision: int
    published_at: Instant
    causes: list[Cause]
    import_id: str | None
    facts: list[Evidence]
    differs: list[Difference]
    kpis: AccountKpis


def revisions(
    published: Iterable[AccountSnapshot], facts: Sequence[tuple[int, Fact]], moved_at: Sequence[datetime] = ()
) -> list[Revision]:
    """Of snapshots in the order of day and revision, and the account's facts with their sequences in FACTS.

    Facts are also those about installations that were ever its own. `moved_at`: when usage that had waited for a
    mapping was given to the account, or usage taken from it.
    """
    found: list[Revision] = []
    before: AccountSnapshot | None = None
    for snapshot in published:
        if before is not None and before.kpis.as_of != snapshot.kpis.as_of:
            before = None
        found.append(_revision(before, snapshot, facts, moved_at))
        before = snapshot
    return found


def _revision(
    before: AccountSnapshot | None,
    snapshot: AccountSnapshot,
    facts: Sequence[tuple[int, Fact]],
    moved_at: Sequence[datetime],
) -> Revision:
    differs = [] if before is None else _differs(before, snapshot)
    fields = [one.field for one in differs]
    came = [fact for fact in _between(before, snapshot, facts) if _moved_by(fact, fields, snapshot.kpis)]
    causes: list[Cause] = ["day_closed"]
    if before is not None:
        known = {cause for fact in came for cause in _moved_by(fact, fields, snapshot.kpis)}
        if _any(fields, "instance") and any(before.published_at < at <= snapshot.published_at for at in moved_at):
            known.add("instance")
        causes = sorted({*known, *_without_fact(differs, known, snapshot)}) or ["unknown"]
    return Revision(
        account=snapshot.account,
        as_of=snapshot.kpis.as_of,
        revision=snapshot.kpis.revision,
        published_at=snapshot.published_at,
        causes=causes,
        import_id=snapshot.import_id,
        facts=[evidence(fact) for fact in came],
        differs=differs,
        kpis=snapshot.kpis,
    )


def _differs(before: AccountSnapshot, after: AccountSnapshot) -> list[Difference]:
    found = differences(before.model_dump(mode="json"), after.model_dump(mode="json"))
    return [one for one in found if one.field not in _PASSING]


def _between(
    before: AccountSnapshot | None, after: AccountSnapshot, facts: Sequence[tuple[int, Fact]]
) -> Iterator[Fact]:
    """Facts known to the later revision, and not to the one before; none where it was not noted."""
    if before is not None and before.facts_to is not None and after.facts_to is not None:
        yield from (fact for sequence, fact in facts if before.facts_to < sequence <= after.facts_to)


def _moved_by(fact: Fact, fields: Sequence[str], kpis: AccountKpis) -> set[Cause]:
    """What the fact is a cause of, among the fields that differ."""
    event = fact.event
    if isinstance(event, UsagePing) and not _is_told_by(event, fields, kpis):
        return set()
    if isinstance(event, AccountUpdated):
        own = {cause for name, cause in _OF_FIELD.items() if name in event.model_fields_set and _any(fields, cause)}
        plain = event.model_fields_set.intersection(fields) - _OF_FIELD.keys()
        return own | ({"attributes"} if plain else set())
    cause = _OF_EVENT.get(type(event))
    return {cause} if cause and _any(fields, cause) else set()


def _is_told_by(ping: UsagePing, fields: Sequence[str], kpis: AccountKpis) -> bool:
    """Whether the day goes by what it said, or by when it came: the newest contact."""
    if kpis.source_of_counts == "pings" and kpis.ping_day == ping.day:
        return True
    return any(field in _CONTACT for field in fields) and kpis.last_contact == local_day(
        ping.occurred_at, kpis.time_zone
    )


def _any(fields: Sequence[str], cause: Cause) -> bool:
    return any(field.startswith(_MOVES[cause]) for field in fields)


def _is_somebody(value: Any) -> bool:
    """That nobody was active is concluded from silence, and from a sign of life."""
    return value not in (None, 0)


def _without_fact(differs: Sequence[Difference], known: set[Cause], snapshot: AccountSnapshot) -> Iterator[Cause]:
    """What no fact was needed for: usage that came late (or that a rebuild counted anew), an import, a changed policy
    file, a sign of life."""
    fields = [one.field for one in differs]
    moved = [one for one in differs if one.field.startswith(_COUNTED)]
    counted = any(_is_somebody(one.before) or _is_somebody(one.after) for one in moved)
    if counted and snapshot.import_id:
        yield "import"
    elif counted and not known & _RECOUNTED:
        yield "usage"
    ladder = ("kpis.adoption.policy", "kpis.adoption.target", "kpis.adoption.next_target", "kpis.adoption.band_end")
    if any(field.startswith(ladder) for field in fields) and not known & {
        "policy",
        "production_date",
        "contract_start",
    }:
        yield "policy"
    if not counted and not known and any(field in _CONTACT for field in fields):
        yield "contact"
