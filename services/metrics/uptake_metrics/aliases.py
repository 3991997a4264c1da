"""The ids of an account that name one person, as the hashes that user-days are kept by. Pure; counts nobody."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from uptake_metrics import archive
from uptake_metrics.links import Links, canonical
from uptake_metrics.shard import user_hash
from uptake_metrics.userdays import U64, Masks

_REMEMBERED: Final = 1_024  # accounts; the board asks for each of them again and again


@dataclass(frozen=True, slots=True)
class Aliases:
    """`users` ascends, and holds every id of a person who has several; `persons`: by which of them each is counted."""

    users: U64
    persons: U64
    names: dict[int, str]  # by hash: the ids that others are counted by; no event may ever have named one

    def merged(self, masks: Masks) -> Masks:
        """The same user-days, each by the id that its person is counted by."""
        return archive.merge(Masks(masks.series, masks.epoch, self.persons_of(masks.user), masks.mask))

    def persons_of(self, users: U64) -> U64:
        at = np.minimum(np.searchsorted(self.users, users), len(self.users) - 1)
        return np.where(self.users[at] == users, self.persons[at], users)


@lru_cache(_REMEMBERED)
def aliases(links: Links) -> Aliases | None:
    """What these links make of an account's ids; null when every id is a person."""
    known_by = canonical(links)
    if not known_by:
        return None
    names = {user_hash(person): person for person in known_by.values()}
    hashes = {user_hash(user): user_hash(person) for user, person in known_by.items()}
    hashes |= {person: person for person in names}
    users = np.array(sorted(hashes), np.uint64)
    return Aliases(users, np.array([hashes[user] for user in sorted(hashes)], np.uint64), names)
