"""Erased people: recognised by a keyed digest, since nobody keeps their ids, and taken out of usage. Pure; no I/O.

Source: the domain definition, "User deletion": past counts stay right (a keyless tombstone); later events by them are
suppressed.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import msgspec

from uptake.messages.fields import ERASED_PERSON
from uptake.messages.usage import UsageBatch
from uptake_metrics.activity import ERASED, HUMAN
from uptake_metrics.batches import Batch, split

#: Who is named by an event that came after its person was erased.
NOBODY: Final = "erased"
_REMEMBERED: Final = 16_384  # digests: the same people come again and again
_ACCOUNTS: Final = ("account", "accounts")
_PEOPLE: Final = ("user", "users", "other")


class Erased(NamedTuple):
    """`tombstone` stands for the person in all that was counted: usage up to sequence `until` in USAGE."""

    tombstone: str
    until: int


class Through(NamedTuple):
    """Usage of an erased person that names an installation and no account, as the tables hold what was counted."""

    instance: str
    tombstone: str
    feature: str
    instant_us: int


def tombstone(random: bytes) -> str:
    """An id for an erased person; it is known by nothing else than these random bytes."""
    return ERASED_PERSON + random.hex()


def digest(key: bytes, account: str, user: str) -> bytes:
    """What a person is recognised by: nothing to whoever does not have the key, and an id to compare with."""
    return hashlib.blake2b(f"{account}\0{user}".encode(), key=key, digest_size=16).digest()


class Suppression:
    """The erased people of some accounts, by account and digest."""

    def __init__(self, key: bytes = b"", erased: Mapping[tuple[str, bytes], Erased] | None = None) -> None:
        self._digest = lru_cache(_REMEMBERED)(partial(digest, key))  # gone with us when somebody more is erased
        self._erased = dict(erased or {})
        self.accounts = {account for account, _ in self._erased}
        self._accounts_utf8 = {account.encode() for account in self.accounts}

    def __len__(self) -> int:
        return len(self._erased)

    def find(self, account: str, user: str) -> Erased | None:
        if account not in self.accounts:
            return None
        return self._erased.get((account, self._digest(account, user)))

    def name(self, account: str, user: str) -> str:
        """The tombstone of an erased person, and everybody else's own id."""
        found = self.find(account, user)
        return found.tombstone if found else user

    def applied(self, batch: Batch) -> Batch:
        """The batch without the ids of erased people; the very same one when it names none of them."""
        if not self._erased or self._accounts_utf8.isdisjoint(split(batch.accounts_utf8)):
            return batch
        accounts, was_counted = batch.accounts, partial(_is_up_to, batch.sequence)
        told = self._told(accounts, batch.users, batch.actors, was_counted)
        if told is None:
            return batch
        users, actors = told
        return msgspec.structs.replace(batch, users_utf8=[user.encode() for user in users], actors=actors)

    def through(self, batch: UsageBatch, owners: Mapping[str, str]) -> dict[int, Through]:
        """By their place in the batch: what erased people did that names no account but an installation of one.

        `owners`: whose an installation is.
        """
        accounts, instances = attributed(batch.accounts, batch.instances, owners), batch.instances or ()
        found = {}
        for event, instance in enumerate(instances):
            person = None if batch.accounts[event] else self.find(accounts[event], batch.users[event])
            if person and instance:
                found[event] = Through(instance, person.tombstone, batch.features[event], batch.instants[event])
        return found

    def rewritten(
        self, batch: UsageBatch, sequence: int, owners: Mapping[str, str], counted: Collection[Through]
    ) -> UsageBatch:
        """The message to keep instead of the one that USAGE holds under this sequence.

        `counted`: of what came `through` installations, that which counts as the tombstone's. No sequence can say so:
        the installation may have been mapped to the account after the person was erased.
        """
        of, through = batch.rewrite_of or sequence, self.through(batch, owners)

        def was_counted(event: int, found: Erased) -> bool:
            return through[event] in counted if event in through else of <= found.until

        accounts = attributed(batch.accounts, batch.instances, owners)
        told = self._told(accounts, batch.users, batch.actors, was_counted)
        users, actors = told or (batch.users, batch.actors)
        return batch.model_copy(update={"users": users, "actors": actors, "rewrite_of": of})

    def recognised(self, data: bytes) -> bool:
        """Whether a message, or what it refuses, names an erased person beside the account; by its fields alone."""
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return False
        texts = list(_texts(found))
        accounts = {text for field, text in texts if field in _ACCOUNTS} & self.accounts
        users = {text for field, text in texts if field in _PEOPLE}
        if any(self.find(account, user) for account in accounts for user in users):
            return True
        return any(self.recognised(body) for body in _bodies(found))

    def _told(
        self,
        accounts: Sequence[str],
        users: Sequence[str],
        actors: Sequence[str] | None,
        was_counted: Callable[[int, Erased], bool],
    ) -> tuple[list[str], list[str] | None] | None:
        """Users and actors. What was counted goes on counting, as the tombstone's; what came later is nobody's."""
        named, acting = list(users), None if actors is None else list(actors)
        changed = False
        for event, (account, user) in enumerate(zip(accounts, users, strict=True)):
            found = self.find(account, user)
            if found is None:
                continue
            changed = True
            if was_counted(event, found):
                named[event] = found.tombstone
            else:
                acting = [HUMAN] * len(users) if acting is None else acting
                named[event], acting[event] = NOBODY, ERASED
        return (named, acting) if changed else None


def _is_up_to(sequence: int, event: int, found: Erased) -> bool:
    """Whether a message was counted before the person was erased, whichever of its events is meant."""
    return sequence <= found.until


def attributed(
    accounts: Sequence[str], instances: Sequence[str | None] | None, owners: Mapping[str, str]
) -> Sequence[str]:
    """The account of each event, also of those that name an installation and no account."""
    if instances is None:
        return accounts
    pairs = zip(accounts, instances, strict=True)
    return [account or owners.get(instance or "", "") for account, instance in pairs]


def without(body: dict[str, Any], user: str, tombstone: str) -> dict[str, Any]:
    """A fact that names the person, as it is kept afterwards: it folds to the same, and tells nobody who it was."""
    event = dict(body["event"])
    for field in ("user", "other"):
        if event.get(field) == user:
            event[field] = tombstone
    if user in event["id"]:  # a producer may name its facts after people
        event["id"] = hashlib.blake2b(event["id"].encode(), digest_size=16).hexdigest()
    return {**body, "event": event}


def mentions(data: bytes, account: str, user: str) -> bool:
    """Whether a message speaks of this person. What is no JSON is judged by its text; a refusal, by what was refused.

    It does so when it holds the id as a text of its own, and the account too, or no account at all.
    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        text = data.decode(errors="replace")
        return f'"{user}"' in text and (f'"{account}"' in text or '"account' not in text)
    texts, accounts = set[str](), set[str]()
    for field, text in _texts(found):
        texts.add(text)
        if field in _ACCOUNTS and text:
            accounts.add(text)
    bodies = _bodies(found)
    if any(mentions(body, account, user) for body in bodies):
        return True
    return user in texts and (account in accounts or not accounts)


def _bodies(found: Any) -> Iterable[bytes]:
    """What a refusal holds of a message, as bytes."""
    if not isinstance(found, dict) or not isinstance(found.get("body"), str):
        return ()
    if not found.get("body_is_base64"):
        return (found["body"].encode(),)
    try:
        return (base64.b64decode(found["body"]),)
    except ValueError:
        return ()


def _texts(found: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Every text in it, with the field that it stands in."""
    if isinstance(found, str):
        yield field, found
    elif isinstance(found, list):
        for one in found:
            yield from _texts(one, field)
    elif isinstance(found, dict):
        for name, one in found.items():
            yield from _texts(one, name)
