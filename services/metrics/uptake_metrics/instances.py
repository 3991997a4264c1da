"""What facts say of installations: whose they are, when they were heard, what their pings told. Pure; no I/O, no clock.

Every statement is a merge that no order and no repeat changes. What an installation said before it was mapped belongs
to the account from the beginning; a later mapping takes all of it along.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from uptake.messages.events import InstanceHeartbeat, InstanceMapped, UsagePing
from uptake.messages.facts import Fact
from uptake_metrics.freshness import PINGS_LIMIT
from uptake_metrics.heartbeats import Heartbeats
from uptake_metrics.zones import DAY, last_closed_day, local_day

#: A ping tells of its own day, and stands for later days until it is stale.
PING_DAYS: Final = PINGS_LIMIT.days

Said = tuple[datetime, datetime, str, str]  # when it was true, when it was received, source, id: the newest wins
Heard = tuple[str, int, int]  # an installation, and the first and the last second of a UTC day
ZoneOf = Callable[[str], str]  # of an account
Teller = tuple[str, str]  # the account and the installation that a ping names; empty when it names none
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_EVER = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Mapped:
    """Whose an installation is. `environment`: where those of its events count that were sent for production."""

    account: str
    environment: str
    said: Said


@dataclass(frozen=True, slots=True)
class Ping:
    """What one teller said last of a day."""

    mau: int
    dau: int | None
    registered: int | None
    said: Said


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What the pings of one day say of an account: `mau` or more, `mau_at_most` or fewer people in 30 days.

    The two differ where several installations told of the day: one person may use them all, or each have people of its
    own. Then nothing is known of the day's active and of the registered people either.
    """

    day: date
    mau: int
    mau_at_most: int
    dau: int | None
    registered: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """What there is of an account on one day besides its events: the newest instants, in UTC, and the ping to go by."""

    heartbeat: datetime | None = None
    pinged: datetime | None = None
    ping: Aggregate | None = None


@dataclass(slots=True)
class _Pings:
    """All pings of one teller: the newest statement about each day, and when any of them came."""

    of_day: dict[date, Ping] = field(default_factory=dict)
    heard: Heartbeats = field(default_factory=Heartbeats)

    def learn(self, day: date, ping: Ping) -> None:
        known = self.of_day.get(day)
        if known is None or known.said < ping.said:
            self.of_day[day] = ping
        at = second(ping.said[0])
        self.heard.add(at, at)


@dataclass(slots=True)
class Instances:
    """`mapped`: by installation, the statement in force. Two that learnt the same are equal."""

    mapped: dict[str, Mapped] = field(default_factory=dict)
    mappings: object = field(default_factory=object, compare=False)  # another one after every change of `mapped`
    _of_account: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _heartbeats: dict[str, Heartbeats] = field(default_factory=dict)
    _told: dict[Teller, _Pings] = field(default_factory=dict)
    _tellers: dict[str, set[Teller]] = field(default_factory=lambda: defaultdict(set))  # by account

    def account_of(self, instance: str) -> str | None:
        known = self.mapped.get(instance)
        return known.account if known else None

    def of_account(self, account: str) -> list[str]:
        return sorted(self._of_account.get(account, ()))

    def unlike(self, other: "Instances") -> set[str]:
        """Accounts about whom the two may say different things."""
        if self == other:
            return set()
        return {name for one in (self, other) for name in one._of_account.keys() | one._tellers.keys()} or {""}

    def learn(self, facts: Iterable[Fact], zone_of: ZoneOf) -> set[str]:
        """Returns the accounts whose current numbers may be others now."""
        touched: set[str] = set()
        for fact in facts:
            match fact.event:
                case InstanceMapped() as event:
                    before = self.account_of(event.instance)
                    self._map(event.instance, Mapped(event.account, event.environment, _said(fact)))
                    touched |= {event.account} | ({before} if before else set())
                case UsagePing() as event:
                    teller = event.account or "", event.instance or ""
                    ping = Ping(event.mau, event.dau, event.registered, _said(fact))
                    self._told.setdefault(teller, _Pings()).learn(event.day, ping)
                    if event.account:
                        self._tellers[event.account].add(teller)
                    touched |= self._about(event)
                case InstanceHeartbeat() as event:
                    at = second(event.occurred_at)
                    touched |= self.hear([(event.instance, at, at)], zone_of)
        return touched

    def hear(self, heard: Iterable[Heard], zone_of: ZoneOf) -> set[str]:
        """Heartbeats; the board looks at an account when the first of a local day comes, and when one comes late."""
        touched: set[str] = set()
        for instance, first_s, last_s in heard:
            beats = self._heartbeats.setdefault(instance, Heartbeats())
            before = beats.last_s
            beats.add(first_s, last_s)
            account, after = self.account_of(instance), beats.last_s
            if account and (after == before or _day(before, zone_of(account)) != _day(after, zone_of(account))):
                touched.add(account)
        return touched

    def moved(self, facts: Iterable[Fact], zone_of: ZoneOf, now: datetime) -> dict[str, date]:
        """Accounts some of whose closed days these facts, not learnt yet, can change; and from which day on.

        A heartbeat of a day that is still open changes none, and one among others that are known none at all.
        """
        days: dict[str, list[date]] = defaultdict(list)
        for fact in facts:
            match fact.event:
                case InstanceMapped() as event:
                    for name in {event.account, self.account_of(event.instance) or event.account}:
                        days[name].append(_EVER)
                case UsagePing() as event:
                    for name in self._about(event):
                        days[name] += event.day, local_day(event.occurred_at, zone_of(name))
                case InstanceHeartbeat() as event if not self._knows(event):
                    if account := self.account_of(event.instance):
                        zone = zone_of(account)
                        if (day := local_day(event.occurred_at, zone)) <= last_closed_day(now, zone):
                            days[account].append(day)
        return {account: max(_EVER, min(of_account)) for account, of_account in days.items()}

    def _about(self, ping: UsagePing) -> set[str]:
        account = ping.account or self.account_of(ping.instance or "")
        return {account} if account else set()

    def _map(self, instance: str, new: Mapped) -> None:
        known = self.mapped.get(instance)
        if known is not None and known.said >= new.said:
            return
        if known is not None:
            self._of_account[known.account].discard(instance)
            if not self._of_account[known.account]:
                del self._of_account[known.account]  # two that learnt the same are equal
        self.mapped[instance] = new
        self.mappings = object()
        self._of_account[new.account].add(instance)

    def _knows(self, heartbeat: InstanceHeartbeat) -> bool:
        """Whether to learn of it would change nothing."""
        known = self._heartbeats.get(heartbeat.instance)
        return known is not None and known.knows(second(heartbeat.occurred_at))

    def told(self, account: str, day: date, end: datetime) -> Told:
        """Of the account's local `day`, which ends at `end`."""
        end_s = second(end)
        beats = [self._heartbeats[name] for name in self._of_account.get(account, ()) if name in self._heartbeats]
        pings = [self._told[teller].heard for teller in self._tellers_of(account)]
        return Told(_newest(beats, end_s), _newest(pings, end_s), self._ping(account, day) if pings else None)

    def told_at_most(self, account: str) -> dict[date, int]:
        """Of every day that a ping tells of: a number that the MAU of `Aggregate` is not over."""
        most: dict[date, int] = defaultdict(int)
        for teller in self._tellers_of(account):
            for day, ping in self._told[teller].of_day.items():
                most[day] = max(most[day], ping.mau)
        return most

    def heard(self) -> dict[str, list[Heartbeats]]:
        """By installation, of all that a fact speaks of: its heartbeats and its pings; see `span`."""
        heard: dict[str, list[Heartbeats]] = {name: [] for name in self.mapped}
        for name, beats in self._heartbeats.items():
            heard.setdefault(name, []).append(beats)
        for (_, name), told in self._told.items():
            if name:
                heard.setdefault(name, []).append(told.heard)
        return heard

    def _ping(self, account: str, day: date) -> Aggregate | None:
        """The newest ping that still tells of `day`: of the day itself, or of one of the seven before."""
        for back in range(PING_DAYS):
            about = day - DAY * back
            if found := self._said_of(account, about):
                return _aggregate(about, found)
        return None

    def _said_of(self, account: str, day: date) -> dict[str, Ping]:
        """By installation, empty for the account as a whole."""
        found: dict[str, Ping] = {}
        for teller in self._tellers_of(account):
            ping = self._told[teller].of_day.get(day)
            known = found.get(teller[1])
            if ping and (known is None or known.said < ping.said):
                found[teller[1]] = ping
        return found

    def _tellers_of(self, account: str) -> Iterator[Teller]:
        """Pings that name the account are its own, whosever the installation is."""
        yield from self._tellers.get(account, ())
        yield from (("", name) for name in self._of_account.get(account, ()) if ("", name) in self._told)


def second(at: datetime) -> int:
    """Whole seconds since 1970, cut: days and limits begin on whole seconds, so that no comparison notices."""
    return (at - _EPOCH) // _SECOND


def _instant(at_s: int | None) -> datetime | None:
    return None if at_s is None else _EPOCH + timedelta(seconds=at_s)


def _day(at_s: int | None, zone: str) -> date | None:
    return None if at_s is None else local_day(_EPOCH + timedelta(seconds=at_s), zone)


def _said(fact: Fact) -> Said:
    return fact.occurred_at, fact.received_at, fact.source, fact.event.id


def span(heard: Iterable[Heartbeats]) -> tuple[datetime | None, datetime | None]:
    """The first and the last instant of them."""
    ends = [(one.first_s, one.last_s) for one in heard if one.first_s is not None and one.last_s is not None]
    return _instant(min((first for first, _ in ends), default=None)), _instant(max((e for _, e in ends), default=None))


def _newest(heard: Iterable[Heartbeats], end_s: int) -> datetime | None:
    return _instant(max((at for one in heard if (at := one.newest_before(end_s)) is not None), default=None))


def _aggregate(day: date, found: dict[str, Ping]) -> Aggregate:
    """What is said of the account as a whole is the number; what its installations say can only bound it."""
    pings = [found[""]] if "" in found else list(found.values())
    (one, *others) = pings
    if not others:
        return Aggregate(day, one.mau, one.mau, one.dau, one.registered)
    return Aggregate(day, max(ping.mau for ping in pings), sum(ping.mau for ping in pings), None, None)
