"""Which series a shard has, and in which of them an event counts first. No counts, no user-days, no I/O.

An event counts first in the narrowest series that takes it: its feature, else the total of its account, else its sign
of life. Each but the last has a parent, the next wider one: who is active in a series is active in its parent.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import repeat
from typing import Final, Literal, NamedTuple

import numpy as np

from uptake_metrics.activity import COUNTED_ENVIRONMENTS, PRODUCTION, qualifies
from uptake_metrics.columns import Columns
from uptake_metrics.table import ABSENT, Table
from uptake_metrics.userdays import I32, I64, placed

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


class _Codes(dict[bytes, int]):
    """Numbers of known names. Asking for another does not add it, or a flood of names would fill the memory."""

    def __missing__(self, name: bytes) -> int:
        return _UNKNOWN


_ENVIRONMENTS: Final = {name: code for code, name in enumerate(sorted(COUNTED_ENVIRONMENTS))}


class SeriesIndex:
    """Series have numbers from 0 on, in the order in which they were met. `parent` and `kind` are columns by number."""

    def __init__(self, max_features: int) -> None:
        self.max_features = max_features
        self.keys: list[SeriesKey] = []
        self.numbers: dict[SeriesKey, int] = {}
        self.contacts: dict[bytes, int] = {}  # by account, in UTF-8
        self.parent: I32 = np.empty(0, np.int32)
        self.kind: I32 = np.empty(0, np.int32)
        self._laid_out = 0
        self._features: Counter[str] = Counter()  # by account
        self._names = _Codes()
        self._leaves = Table()  # (contact series, code of feature and environment): 1 + the narrowest series

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
                del self.contacts[key.account.encode()]
            self._features[key.account] -= key.kind == "feature"
        del self.keys[first:]
        self._laid_out = first
        self._names, self._leaves = _Codes(), Table()

    def narrowest(self, columns: Columns) -> tuple[I32, I32]:
        """For each event: the sign of life of its account, and the series that it counts in first."""
        contact = self._contacts_of(columns)
        codes = self._codes(columns)
        slots = self._leaves.find(contact, codes.view(np.uint64))
        if slots.min(initial=0) != ABSENT:
            return contact, self._leaves.mask.take(slots).astype(np.int32) - np.int32(1)
        found = slots != ABSENT
        narrow = contact.copy()
        narrow[found] = self._leaves.mask.take(slots[found]).astype(np.int32) - np.int32(1)
        self._meet(columns, contact, narrow, np.flatnonzero(~found & (codes != _NO_LEAF)))
        return contact, narrow

    def _contacts_of(self, columns: Columns) -> I32:
        known = self.contacts
        try:
            return np.fromiter(map(known.__getitem__, columns.accounts), np.int32, len(columns))
        except KeyError:
            accounts = dict.fromkeys(columns.accounts)
            self.add(SeriesKey(account.decode(), "contact") for account in accounts if account not in known)
            return self._contacts_of(columns)

    def _codes(self, columns: Columns) -> I64:
        """By feature and environment; one for all unknown features, and `_NO_LEAF` for what is no activity."""
        codes = np.fromiter(map(self._names.__getitem__, columns.features), np.int64, len(columns))
        codes *= len(_ENVIRONMENTS)
        if columns.environments is None:
            codes += _ENVIRONMENTS[PRODUCTION]
            return codes
        environments = np.fromiter(
            (_ENVIRONMENTS.get(name, _UNKNOWN) for name in columns.environments), np.int64, len(columns)
        )
        return np.where(environments == _UNKNOWN, _NO_LEAF, codes + environments)

    def _meet(self, columns: Columns, contact: I32, narrow: I32, events: I64) -> None:
        """Number the series of these events, which no leaf is known of, in order: whose feature is the last decides."""
        met, leaves = dict[tuple[bytes, str, bytes], int](), list[tuple[int, int, int]]()
        environments = repeat(PRODUCTION) if columns.environments is None else columns.environments
        triples = list(zip(columns.accounts, environments, columns.features))  # noqa: B905  # `repeat` never ends
        for event in events.tolist():
            triple = account, environment, feature = triples[event]
            if triple not in met:
                total = self._number(SeriesKey(account.decode(), "total", environment))
                met[triple] = leaf = self._leaf(self.keys[total], feature.decode(), total)
                if leaf != total:  # not remembered, or a flood of features would fill the memory
                    name = self._names.setdefault(feature, len(self._names))
                    leaves.append((int(contact[event]), name * len(_ENVIRONMENTS) + _ENVIRONMENTS[environment], leaf))
            narrow[event] = met[triple]
        self._lay_out()
        self._remember(leaves)

    def _leaf(self, wider: SeriesKey, feature: str, total: int) -> int:
        """The series of a feature; the total of an account that has too many; the sign of life if it is no activity."""
        if not qualifies(feature):
            return self._parent_of(wider)
        key = wider._replace(kind="feature", feature=feature)
        if key not in self.numbers and self._features[key.account] >= self.max_features:
            return total
        return self._number(key)

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
            self.contacts[key.account.encode()] = number
        elif key.kind == "feature":
            self._features[key.account] += 1
        return number

    def _lay_out(self) -> None:
        """The columns of the series that were added."""
        new = self.keys[self._laid_out :]
        self.parent = placed(self.parent, self._laid_out, [self._parent_of(key) for key in new])
        self.kind = placed(self.kind, self._laid_out, [_KINDS[key.kind] for key in new])
        self._laid_out = len(self.keys)

    def _parent_of(self, key: SeriesKey) -> int:
        if key.kind == "contact":
            return NO_SERIES
        if key.kind == "total":
            return self.contacts[key.account.encode()]
        return self.numbers[SeriesKey(key.account, "total", key.environment)]
