"""Which series a shard has, and in which of them an event counts first. No counts, no user-days, no I/O.

An event counts first in the narrowest series that takes it: its feature, else the total of its account, else its sign
of life. Each but the last has a parent, the next wider one: who is active in a series is active in its parent.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import compress, repeat
from typing import Final, Literal, NamedTuple

import numpy as np

from uptake_metrics.activity import HUMAN, PRODUCTION, ActivityPolicy, ActivityVersion, Refusal, shipped
from uptake_metrics.columns import Columns
from uptake_metrics.table import ABSENT, Table
from uptake_metrics.userdays import I32, I64, Flags, placed

NO_SERIES: Final = -1

Kind = Literal["total", "feature", "contact"]
CONTACT, TOTAL, FEATURE = range(3)
_KINDS: Final[dict[Kind, int]] = {"contact": CONTACT, "total": TOTAL, "feature": FEATURE}
_UNKNOWN: Final = -1
_NO_LEAF: Final = -1_000  # no feature and environment have this code


class SeriesKey(NamedTuple):
    """What a series counts: all activity of an account, one feature of it, or any sign of life."""

    account: str
    kind: Kind
    environment: str = ""
    feature: str = ""


class _Codes(dict[bytes | str, int]):
    """Numbers of known names. Asking for another does not add it, or a flood of names would fill the memory."""

    def __missing__(self, name: bytes | str) -> int:
        return _UNKNOWN


class SeriesIndex:
    """Series have numbers from 0 on, in the order in which they were met. `parent` and `kind` are columns by number."""

    def __init__(self, max_features: int, policy: Callable[[], ActivityPolicy] = shipped) -> None:
        """`policy`: the activity policy, looked up for every batch."""
        self.max_features = max_features
        self._policy_now = policy
        self.keys: list[SeriesKey] = []
        self.numbers: dict[SeriesKey, int] = {}
        self.contacts_utf8: dict[bytes, int] = {}  # by account, in UTF-8
        self.parent: I32 = np.empty(0, np.int32)
        self.kind: I32 = np.empty(0, np.int32)
        self._laid_out = 0
        self._features = defaultdict[str, list[int]](list)  # by account
        self._follow_policy()

    def add(self, keys: Iterable[SeriesKey]) -> None:
        """Number these series, a parent before its children."""
        for key in keys:
            self._number(key)
        self._lay_out()

    def forget(self, first: int) -> None:
        """Take back the series from number `first` on."""
        for key in self.keys[first:]:
            del self.numbers[key]
            if key.kind == "contact":
                del self.contacts_utf8[key.account.encode()]
            if key.kind == "feature":
                self._features[key.account].pop()
        del self.keys[first:]
        self._laid_out = first
        self._follow_policy()

    def features_of(self, account: str) -> Sequence[int]:
        """The feature series of an account, of all its environments."""
        return self._features.get(account, ())

    def contacts(self, columns: Columns) -> I32:
        """For each event: the sign of life of its account."""
        known = self.contacts_utf8
        try:
            return np.fromiter(map(known.__getitem__, columns.accounts), np.int32, len(columns))
        except KeyError:
            accounts = dict.fromkeys(columns.accounts)
            self.add(SeriesKey(account.decode(), "contact") for account in accounts if account not in known)
            return self.contacts(columns)

    def narrowest(self, columns: Columns, contact: I32, days: I32) -> I32:
        """For each event, of this account and local day: the series that it counts in first."""
        if self._policy_now() is not self.policy:
            self._follow_policy()
        codes = self._codes(columns, days)
        slots = self._leaves.find(contact, codes.view(np.uint64))
        if slots.min(initial=0) != ABSENT:
            return self._leaves.mask.take(slots).astype(np.int32) - np.int32(1)
        found = slots != ABSENT
        narrow = contact.copy()
        narrow[found] = self._leaves.mask.take(slots[found]).astype(np.int32) - np.int32(1)
        self._meet(columns, contact, narrow, days, np.flatnonzero(~found & (codes != _NO_LEAF)))
        return narrow

    def refusals(self, columns: Columns, contact: I32, days: I32, refused: Flags) -> Counter[tuple[str, int, Refusal]]:
        """How many of the `refused` events, which are a sign of life only, by account, local day, and why."""
        alike = zip(
            contact[refused].tolist(),
            days[refused].tolist(),
            self.policy.numbers(days[refused]).tolist(),
            compress(repeat(HUMAN) if columns.actors is None else columns.actors, refused),
            compress(repeat(PRODUCTION) if columns.environments is None else columns.environments, refused),
            compress(columns.features, refused),
            strict=True,
        )
        versions, found = self.policy.versions, Counter[tuple[str, int, Refusal]]()
        for (series, day, number, actor, environment, feature), events in Counter(alike).items():
            reason = versions[number].refusal(actor, environment, feature.decode())
            found[self.keys[series].account, day, reason or "feature"] += events
        return found

    def _follow_policy(self) -> None:
        """What is remembered of leaves is under one policy."""
        self.policy = self._policy_now()
        self._environments = {name: code for code, name in enumerate(sorted(self.policy.environments))}
        self._names = _Codes()
        self._counted = [
            _Codes({name: self._environments[name] for name in version.environments})
            for version in self.policy.versions
        ]
        self._leaves = Table()  # (contact series, code of feature, version, environment): 1 + the narrowest series
        self._lead_to(0)

    def _codes(self, columns: Columns, days: I32) -> I64:
        """By feature, environment and version; one for all unknown features, `_NO_LEAF` for what is no activity."""
        codes = np.fromiter(map(self._names.__getitem__, columns.features), np.int64, len(columns))
        codes *= len(self._environments) * len(self.policy.versions)
        cells = self._cells(columns, days)
        if isinstance(cells, int) and cells != _UNKNOWN:
            codes += cells
            return codes
        return np.where(np.equal(cells, _UNKNOWN), _NO_LEAF, codes + cells)

    def _cells(self, columns: Columns, days: I32) -> I64 | int:
        """For each event, or for all: the code of its version and environment; unknown when they do not count."""
        versions = self.policy.versions
        cells = self._environments_of(columns, 0)
        if len(versions) > 1:  # with one version, days cost nothing
            numbers = self.policy.numbers(days)
            for number in range(len(versions)):
                of_version = self._environments_of(columns, number)
                shifted = np.where(np.equal(of_version, _UNKNOWN), _UNKNOWN, of_version + self._cell(number, 0))
                cells = np.where(numbers == number, shifted, cells)
        return cells

    def _environments_of(self, columns: Columns, number: int) -> I64 | int:
        """The code of each environment, or of all; unknown where this version does not count it, or the actor."""
        version, counted = self.policy.versions[number], self._counted[number]
        codes: I64 | int = counted[PRODUCTION]
        if columns.environments is not None:
            codes = np.fromiter(map(counted.__getitem__, columns.environments), np.int64, len(columns))
        if columns.actors is not None:
            human = np.fromiter(map(version.actors.__contains__, columns.actors), np.bool_, len(columns))
            return np.where(human, codes, _UNKNOWN)
        return codes if HUMAN in version.actors else _UNKNOWN

    def _cell(self, version: int, environment: int) -> int:
        return version * len(self._environments) + environment

    def _meet(self, columns: Columns, contact: I32, narrow: I32, days: I32, events: I64) -> None:
        """Number the series of these events, which no leaf is known of, in order: whose feature is the last decides."""
        if not len(events):
            return
        met, leaves = dict[tuple[bytes, str, bytes, int], int](), list[tuple[int, int, int]]()
        environments = repeat(PRODUCTION) if columns.environments is None else columns.environments
        triples = list(zip(columns.accounts, environments, columns.features))  # noqa: B905  # `repeat` never ends
        numbers = self.policy.numbers(days[events])
        cells = len(self._environments) * len(self.policy.versions)
        for event, number in zip(events.tolist(), numbers.tolist(), strict=True):
            account, environment, feature = triples[event]
            if (account, environment, feature, number) not in met:
                total = self._number(SeriesKey(account.decode(), "total", environment))
                leaf = self._leaf(self.keys[total], feature.decode(), total, self.policy.versions[number])
                met[account, environment, feature, number] = leaf
                if leaf == contact[event]:  # `_lead_to` knows features; a flood of more would fill the memory
                    name = self._names.setdefault(feature, len(self._names))
                    cell = self._cell(number, self._environments[environment])
                    leaves.append((int(contact[event]), name * cells + cell, leaf))
            narrow[event] = met[account, environment, feature, number]
        self._lay_out()
        self._remember(leaves)

    def _leaf(self, wider: SeriesKey, feature: str, total: int, version: ActivityVersion) -> int:
        """The series of a feature; the total of an account that has too many; the sign of life if it is no activity."""
        if not version.qualifies(feature):
            return self._parent_of(wider)
        key = wider._replace(kind="feature", feature=feature)
        if key not in self.numbers and len(self._features[key.account]) >= self.max_features:
            return total
        return self._number(key)

    def _lead_to(self, first: int) -> None:
        """Remember how each feature series from number `first` on is found, under every version that counts it."""
        features = first + np.flatnonzero(self.kind[first : self._laid_out] == FEATURE)
        keys = [self.keys[number] for number in features.tolist()]
        names = [self._names.setdefault(key.feature.encode(), len(self._names)) for key in keys]
        cells, contact = len(self._environments) * len(self.policy.versions), self.parent[self.parent[features]]
        for number, (version, counted) in enumerate(zip(self.policy.versions, self._counted, strict=True)):
            qualifies = {feature: version.qualifies(feature) for feature in {key.feature for key in keys}}
            leads = [qualifies[key.feature] and key.environment in counted for key in keys]
            self._remember(
                [
                    (at, name * cells + self._cell(number, counted[key.environment]), leaf)
                    for at, name, key, leaf in compress(
                        zip(contact.tolist(), names, keys, features.tolist(), strict=True), leads
                    )
                ]
            )

    def _remember(self, leaves: list[tuple[int, int, int]]) -> None:
        if leaves:
            contact, code, leaf = np.array(leaves, np.int64).T
            slots = self._leaves.claim(contact.astype(np.int32), code.astype(np.uint64))
            self._leaves.mask[slots] = (leaf + 1).astype(np.uint64)

    def _number(self, key: SeriesKey) -> int:
        known = self.numbers.get(key)
        if known is not None:
            return known
        number = self.numbers[key] = len(self.keys)
        self.keys.append(key)
        if key.kind == "contact":
            self.contacts_utf8[key.account.encode()] = number
        elif key.kind == "feature":
            self._features[key.account].append(number)
        return number

    def _lay_out(self) -> None:
        """The columns of the series that were added, and how their events find them."""
        first, new = self._laid_out, self.keys[self._laid_out :]
        self.parent = placed(self.parent, self._laid_out, [self._parent_of(key) for key in new])
        self.kind = placed(self.kind, self._laid_out, [_KINDS[key.kind] for key in new])
        self._laid_out = len(self.keys)
        self._lead_to(first)

    def _parent_of(self, key: SeriesKey) -> int:
        if key.kind == "contact":
            return NO_SERIES
        if key.kind == "total":
            return self.contacts_utf8[key.account.encode()]
        return self.numbers[SeriesKey(key.account, "total", key.environment)]
