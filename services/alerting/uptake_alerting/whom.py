"""Whom an alert goes to, and why: one function that explains itself. Pure: asks no clock, and knows no address.

Level 0 is who owns it (and who is to know beside), 1 who stands in, 2 who is on call for the region, 3 who is on call
elsewhere, 4 the catch-all. It goes down from the level that is asked for until somebody can be reached.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from uptake_alerting import rota
from uptake_alerting.people import Person
from uptake_alerting.roster import Roster
from uptake_alerting.rules import Role
from uptake_alerting.working_time import absence, in_working_hours

OWNER, STAND_IN, ON_CALL, ELSEWHERE, CATCH_ALL = range(5)
BY_ROTA = "is on call for"  # in the reason of each notice that went to somebody because of a rotation
_OWNED: frozenset[Role] = frozenset({"owner", "engineer"})


class Channel(Protocol):
    """What is needed of one here; a destination is its public name, null where the channel cannot reach the person."""

    @property
    def type(self) -> str: ...
    def destination(self, person: Person | None = None) -> str | None: ...


class Routes(Protocol):
    @property
    def channels(self) -> Mapping[str, Channel]: ...
    @property
    def default(self) -> Sequence[str]: ...
    @property
    def operators(self) -> Sequence[str]: ...
    def serving(self, person: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class About:
    """What an alert is about, and the people whom the facts name; `to` is whom its rule names."""

    rule: str
    to: tuple[Role, ...]
    account: str | None
    region: str | None
    owner: str | None = None
    deputy: str | None = None
    engineer: str | None = None
    executive: str | None = None
    manager: str | None = None
    assignee: str | None = None


def about_of(
    rule: str,
    to: tuple[Role, ...],
    account: str | None,
    region: str | None,
    people: Mapping[str, str | None],
    assignee: str | None = None,
) -> About:
    """`people`: by what they are to the account or the trial."""
    named = {name: people.get(name) for name in ("owner", "deputy", "engineer", "executive", "manager")}
    return About(rule, to, account, region, **named, assignee=assignee)


@dataclass(frozen=True, slots=True)
class Recipient:
    """One destination; `person` is null where whoever reads the channel is meant."""

    person: str | None
    channel: str
    channel_type: str
    destination: str
    why: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """`level`: where somebody was found. `steps`: what became of each who was looked at, in words."""

    recipients: tuple[Recipient, ...]
    level: int
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    name: str
    role: str  # in words: `owns the account`


@dataclass
class _Search:
    """Collects what comes out; `nothing_of` is why nobody was reached so far, in words, for the catch-all."""

    roster: Roster
    routes: Routes
    now: datetime
    tried: frozenset[tuple[str, str]]
    steps: list[str] = field(default_factory=list)
    unserved: dict[str, None] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def reach(self, candidates: Sequence[_Candidate]) -> list[Recipient]:
        """All of these who can be reached, each through all channels that serve them."""
        return [recipient for one in candidates for recipient in self._through_channels(one)]

    def _through_channels(self, one: _Candidate) -> list[Recipient]:
        if (absent := self._absent(one.name)) is not None:
            self.steps.append(f"{one.name} {one.role}, but {absent}")
            self.reasons.append(f"{one.name} {absent}")
            return []
        person = self.roster.by_name.get(one.name) or Person(name=one.name)
        why = f"this channel serves {one.name}, who {one.role}"
        found, failed = self._usable(self.routes.serving(one.name), person, why)
        self.steps.append(f"{one.name} {one.role}: {_told(found, failed)}")
        if not found and failed:
            self.reasons += [f"{channel} failed" for channel in failed]
        elif not found:
            self.unserved[one.name] = None
        return found

    def _absent(self, name: str) -> str | None:
        person = self.roster.by_name.get(name)
        if person is None:
            return None
        if not person.active:
            return "is no longer active"
        away = absence(self.roster, person, self.now)
        return f"is away until {away.end:%Y-%m-%d %H:%M} UTC" if away else None

    def catch_all(self, otherwise: str) -> list[Recipient]:
        why = " and ".join(self.why_nobody()) or otherwise
        found, failed = self._usable(self.routes.default, None, f"this is a default channel, and {why}")
        self.steps.append(f"the default channels: {_told(found, failed) if self.routes.default else 'there are none'}")
        return found

    def operators(self) -> list[Recipient]:
        names = self.routes.operators or self.routes.default
        found, failed = self._usable(names, None, "this channel is for those who operate Uptake")
        self.steps.append(f"the channels of operators: {_told(found, failed) if names else 'there are none'}")
        return found

    def why_nobody(self) -> list[str]:
        unserved = [f"no channel serves {' or '.join(self.unserved)}"] if self.unserved else []
        return [*dict.fromkeys(self.reasons), *unserved]

    def _usable(self, names: Sequence[str], person: Person | None, why: str) -> tuple[list[Recipient], list[str]]:
        """Those that can reach the person, and those that could but failed for good."""
        found, failed = list[Recipient](), list[str]()
        for name in names:
            channel = self.routes.channels[name]
            destination = channel.destination(person)
            if destination is not None and (name, destination) in self.tried:
                failed.append(name)
            elif destination is not None:
                found.append(Recipient(person.name if person else None, name, channel.type, destination, why))
        return found, failed


def whom(
    about: About,
    level: int,
    roster: Roster,
    routes: Routes,
    now: datetime,
    tried: frozenset[tuple[str, str]] = frozenset(),
) -> Chosen:
    """`tried`: channel and destination of what failed for good. Empty recipients: nobody at all can be told."""
    search = _Search(roster, routes, now, tried)
    found, reached = _owners(about, level, search) if _OWNED.intersection(about.to) else ([], OWNER)
    beside = _beside(about, search) if level == OWNER else []
    if not (found or (beside and reached == OWNER)):
        lead = search.reach([_Candidate(name, "leads the team") for name in _lead(about, roster)])
        otherwise = "nobody owns the subject" if level == OWNER else "nobody acted on it in time"
        found, reached = [*search.catch_all(otherwise), *lead], CATCH_ALL
    return Chosen(_once([*found, *beside]), reached, tuple(search.steps))


def _owners(about: About, level: int, search: _Search) -> tuple[list[Recipient], int]:
    """Who acts on it, and at which level they were found."""
    for place in range(level, CATCH_ALL):
        for group in _groups(about, place, search):
            if found := search.reach(group):
                return found, place
    return [], CATCH_ALL


def _groups(about: About, level: int, search: _Search) -> Iterator[list[_Candidate]]:
    """Candidates who are told together; the first group of which somebody can be reached is the one."""
    if level in (OWNER, STAND_IN):
        named = _named(about, level)
        if not named:
            search.steps.append("nobody owns it" if level == OWNER else "nobody stands in")
        yield from ([one] for one in named)
    else:
        groups = list(_of_region(about, search) if level == ON_CALL else _follow_the_sun(about, search))
        if not any(groups):
            region = about.region or "an account without a region"
            where = f"for {region}" if level == ON_CALL else "elsewhere"
            search.steps.append(f"nobody is on call {where}")
        yield from groups


def _named(about: About, level: int) -> list[_Candidate]:
    """Those whom the facts name, one at a time. Of a trial, the owner of the account stands in first."""
    is_trial = "engineer" in about.to
    account = "the account of the trial" if is_trial else "the account"
    owner = (about.owner, f"owns {account}")
    deputy = (about.deputy, f"stands in for the owner of {account}")
    engineer = (about.engineer, "runs the trial")
    if level == OWNER:
        pairs = [(about.assignee, "has taken it on"), engineer if is_trial else owner]
    else:
        pairs = [owner, deputy] if is_trial else [deputy]
    return [_Candidate(name, role) for name, role in pairs if name]


def _of_region(about: About, search: _Search) -> Iterator[list[_Candidate]]:
    rotation = _rotation(about, search.roster)
    if rotation is not None:
        role = f"{BY_ROTA} {_title(search.roster, rotation)}"
        yield [_Candidate(name, role) for name in rota.on_call(search.roster, rotation, search.now)]


def _follow_the_sun(about: About, search: _Search) -> Iterator[list[_Candidate]]:
    """Other regions in the order of the file: first those where it is working time, then the others."""
    own, asleep = _rotation(about, search.roster), list[list[_Candidate]]()
    for rotation in search.roster.fallback.follow_the_sun:
        if rotation == own:
            continue
        role = f"{BY_ROTA} {_title(search.roster, rotation)}, next in turn"
        there = [_Candidate(name, role) for name in rota.on_call(search.roster, rotation, search.now)]
        awake = [one for one in there if in_working_hours(search.roster, one.name, search.now)]
        if awake:
            yield awake
        asleep.append([one for one in there if one not in awake])
    yield from asleep


def _beside(about: About, search: _Search) -> list[Recipient]:
    """Whom the rule names beside or instead of the owner: nobody stands in for them."""
    found = list[Recipient]()
    for role in about.to:
        if role == "operators":
            found += search.operators()
        elif role not in _OWNED:
            names = _holders(about, role, search.roster)
            if not names:
                search.steps.append(f"nobody is the {role.replace('_', ' ')}")
            found += search.reach([_Candidate(name, _WORDS[role]) for name in names])
    return found


_WORDS: Mapping[Role, str] = {
    "deputy": "stands in for the owner of the account",
    "executive": "sells to the account",
    "manager": "manages who owns it",
    "director": "directs the team",
    "ce_ops": "keeps the data of the team in order",
}


def _holders(about: About, role: Role, roster: Roster) -> Sequence[str]:
    if role == "manager":
        return _lead(about, roster)
    if role == "director" or role == "ce_ops":
        return roster.roles.get(role, ())
    named = about.executive if role == "executive" else about.deputy
    return [named] if named else []


def _lead(about: About, roster: Roster) -> list[str]:
    """The manager of the account, else of who owns it, else the lead of the team."""
    owner = roster.by_name.get((about.engineer if "engineer" in about.to else None) or about.owner or "")
    lead = about.manager or (owner.manager if owner else None) or roster.fallback.lead
    return [lead] if lead else []


def _rotation(about: About, roster: Roster) -> str | None:
    region = roster.region_of(about.region)
    return roster.regions[region].rotation if region else None


def is_of_rotation(why: str, title: str) -> bool:
    """Whether the reason of a notice is that somebody was on call for the rotation of this title."""
    return f"{BY_ROTA} {title}," in f"{why},"


def _title(roster: Roster, rotation: str) -> str:
    return roster.rotations[rotation].title or rotation


def _told(found: Sequence[Recipient], failed: Sequence[str]) -> str:
    if found:
        return f"told through {', '.join(one.channel for one in found)}"
    return f"{', '.join(failed)} failed" if failed else "no channel reaches them"


def _once(found: Sequence[Recipient]) -> tuple[Recipient, ...]:
    """One notice a destination, whoever reads it there."""
    return tuple({(one.channel, one.destination): one for one in reversed(found)}.values())[::-1]
