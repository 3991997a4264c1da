"""Usage batches: what is understood of a message of USAGE, and what nobody can count. Pure; no counting, no I/O.

`UsageBatch` is the contract. A message that is plainly one is decoded at C speed, and its instants are checked together
with those of all others; whatever is strange in any way goes to pydantic, which says what it holds, or what is wrong.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import compress
from typing import Annotated, Final, Literal, TypeVar

import msgspec
import numpy as np

from uptake.messages.fields import SLUG
from uptake.messages.usage import WRITER, UsageBatch
from uptake_metrics.userdays import I64, U64, Flags

#: No zone is on a day before 1970-01-01 then, so every local day has a number from 0 on.
FIRST_INSTANT_US: Final = 86_400_000_000
#: An event of a local day that has begun nowhere on earth yet comes from a broken clock, and would empty the rings.
FUTURE_SLACK: Final = timedelta(hours=14, minutes=10)
HOUR_US: Final = 3_600_000_000

#: The sequence of a batch that no message of USAGE brings: after all of them.
ARRIVES_NOW: Final = 2**63 - 1

_LATEST_RECEIVED_US: Final = 4_102_444_800_000_000  # the year 2100: hours and numbers of events are stored
_MAX_EVENTS: Final = 2**53
_DIGITS: Final = 16  # of an instant in microseconds, from 2001 to 2286: all others are strange

T = TypeVar("T")
#: Texts in UTF-8: a list, or the inside of a JSON list in which no character is escaped: `a","b","c`.
Texts = bytes | list[bytes]


class ImpossibleBatch(ValueError):
    """JSON of the right shape that nobody can count: an instant out of time, a text that PostgreSQL cannot hold."""


class Batch(msgspec.Struct, gc=False):
    """A batch as it is counted: every column has one entry per event, or is null where all have the default.

    Texts stay bytes until they are counted: a Python string for each, kept that long, would cost as much again.
    """

    id: str
    source: str
    received_at: int
    import_id: str | None
    writer: str | None
    acknowledged: int | None
    accounts_utf8: Texts
    users_utf8: Texts
    features_utf8: Texts
    instants: I64
    environments: list[str] | None
    actors: list[str] | None
    instances: list[str | None] | None
    rewrite_of: int | None = None
    sequence: int = ARRIVES_NOW  # in USAGE, of what the batch stands for; set by whoever knows it

    def __len__(self) -> int:
        return len(self.instants)

    @property
    def accounts(self) -> list[str]:
        return [text.decode() for text in split(self.accounts_utf8)]

    @property
    def users(self) -> list[str]:
        return [text.decode() for text in split(self.users_utf8)]

    @property
    def features(self) -> list[str]:
        return [text.decode() for text in split(self.features_utf8)]


def split(texts: Texts) -> list[bytes]:
    return texts.split(b'","') if isinstance(texts, bytes) else texts


class _Plain(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A `UsageBatch` as ingestion writes it. Stricter than pydantic: what this takes, pydantic takes, and alike."""

    id: str
    source: Annotated[str, msgspec.Meta(pattern=rf"^{SLUG}\Z")]
    received_at: Annotated[int, msgspec.Meta(ge=0, le=_LATEST_RECEIVED_US)]
    accounts: msgspec.Raw
    users: msgspec.Raw
    features: msgspec.Raw
    instants: msgspec.Raw
    version: Literal[1] = 1
    import_id: str | None = None
    writer: Annotated[str, msgspec.Meta(pattern=rf"^{WRITER}\Z")] | None = None
    acknowledged: Annotated[int, msgspec.Meta(ge=0, le=_MAX_EVENTS)] | None = None
    rewrite_of: Annotated[int, msgspec.Meta(ge=1, le=_MAX_EVENTS)] | None = None
    environments: list[str] | None = None
    actors: list[str] | None = None
    instances: list[str | None] | None = None
    properties: list[dict[str, float]] | None = None


_DECODER = msgspec.json.Decoder(_Plain)


def decode_all(messages: Sequence[tuple[bytes, datetime]]) -> list[Batch | ValueError]:
    """For each message (data, when USAGE took it): its batch, or why nobody can count it; the same whenever it is read.

    The errors are pydantic's ValidationError, and `ImpossibleBatch`.
    """
    if not messages:
        return []
    plain = [_plain(data) for data, _ in messages]
    earliest = min(stored_at for _, stored_at in messages)  # what is too late for that is judged by its own time
    batches = _counted([batch for batch in plain if batch], _latest_us(earliest))
    return [
        (next(batches) if batch else None) or _explained(data, stored_at)
        for batch, (data, stored_at) in zip(plain, messages, strict=True)
    ]  # no plain batch is empty, and so none is false


def decoded(data: bytes, stored_at: datetime) -> Batch:
    """The batch of one message; raises what `decode_all` tells."""
    (batch,) = decode_all([(data, stored_at)])
    if isinstance(batch, ValueError):
        raise batch
    return batch


def _plain(data: bytes) -> _Plain | None:
    """A message as far as it can be judged alone, and only if nothing about it is strange."""
    try:
        plain = _DECODER.decode(data)
        if not data.isascii():
            data.decode()  # of what stays bytes, msgspec says only that it is JSON
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    n, rest = divmod(len(memoryview(plain.instants)) - 1, _DIGITS + 1)
    if rest or b"\\" in data:
        return None
    for column in (plain.environments, plain.actors, plain.instances, plain.properties):
        if column is not None and len(column) != n:
            return None
    accounts = bytes(plain.accounts)
    if not (_is_list(accounts, n) and _is_list(bytes(plain.users), n) and _is_list(bytes(plain.features), n)):
        return None
    if b'""' in accounts and _nameless(split(accounts[2:-2]), plain.instances):
        return None
    return plain


def _is_list(text: bytes, n: int) -> bool:
    """Whether a JSON text, in which nothing is escaped, is a list of `n` texts with no space between them."""
    return (
        text.startswith(b'["')
        and text.endswith(b'"]')
        and text.count(b'"') == 2 * n
        # After the first quote and before the last: each separator takes two of the quotes, so that none is left, and
        # the text `,` between its own quotes is no separator.
        and text.count(b'","', 2, -2) == n - 1
    )


def _counted(messages: Sequence[_Plain], latest_us: int) -> Iterator[Batch | None]:
    """The batch of each; null where its instants are strange, or out of time."""
    # Of each instant: its digits, and a comma or the last bracket.
    instants, good = _parsed(b"".join([memoryview(plain.instants)[1:] for plain in messages]))
    good &= (instants >= FIRST_INSTANT_US) & (instants <= latest_us)
    all_good = bool(good.all())
    first = 0
    for plain in messages:
        end = first + len(memoryview(plain.instants)) // (_DIGITS + 1)
        yield _batch(plain, instants[first:end]) if all_good or good[first:end].all() else None
        first = end


def _parsed(text: bytes) -> tuple[I64, Flags]:
    """The numbers in a JSON text of numbers and separators, one every 17 bytes; and where that is what they are."""
    n = len(text) // (_DIGITS + 1)
    halves = np.ndarray((2, n), "<u8", text, strides=(8, _DIGITS + 1))
    ends = np.ndarray(n, np.uint8, text, offset=_DIGITS, strides=(_DIGITS + 1,))
    (high, high_good), (low, low_good) = map(_eight_digits, halves)
    good = high_good & low_good & ((ends == ord(",")) | (ends == ord("]")))
    return (high * np.uint64(10**8) + low).view(np.int64), good


def _eight_digits(text: U64) -> tuple[U64, Flags]:
    """Eight ASCII digits a word, all at once: pairs, fours, eights; and where all eight are digits."""
    word = text ^ np.uint64(0x3030303030303030)
    good: Flags = (word | word + np.uint64(0x0606060606060606)) & np.uint64(0xF0F0F0F0F0F0F0F0) == 0
    for shift, ten, mask in ((8, 10, 0x00FF00FF00FF00FF), (16, 100, 0x0000FFFF0000FFFF), (32, 10_000, 0xFFFFFFFF)):
        word = word * np.uint64(ten) + (word >> np.uint64(shift)) & np.uint64(mask)
    return word, good


def _batch(plain: _Plain, instants: I64) -> Batch:
    return Batch(
        plain.id,
        plain.source,
        plain.received_at,
        plain.import_id,
        plain.writer,
        plain.acknowledged,
        bytes(plain.accounts)[2:-2],
        bytes(plain.users)[2:-2],
        bytes(plain.features)[2:-2],
        instants,
        plain.environments,
        plain.actors,
        plain.instances,
        plain.rewrite_of,
    )


def _explained(data: bytes, stored_at: datetime) -> Batch | ValueError:
    """What pydantic makes of a message."""
    try:
        batch = UsageBatch.model_validate_json(data)
        _check(batch, data, stored_at)
    except ValueError as error:
        return error
    return Batch(
        batch.id,
        batch.source,
        batch.received_at,
        batch.import_id,
        batch.writer,
        batch.acknowledged,
        [text.encode() for text in batch.accounts],
        [text.encode() for text in batch.users],
        [text.encode() for text in batch.features],
        np.array(batch.instants, np.int64),
        batch.environments,
        batch.actors,
        batch.instances,
        batch.rewrite_of,
    )


def _check(batch: UsageBatch, data: bytes, stored_at: datetime) -> None:
    instants = batch.instants
    if instants and not FIRST_INSTANT_US <= min(instants) <= max(instants) <= _latest_us(stored_at):
        raise ImpossibleBatch(f"batch {batch.id}: an instant is before 1970-01-02, or long after it was stored")
    if not 0 <= batch.received_at <= _LATEST_RECEIVED_US:
        raise ImpossibleBatch(f"batch {batch.id}: it was received at a time that no clock shows")
    if not 0 <= (batch.acknowledged or 0) <= _MAX_EVENTS:
        raise ImpossibleBatch(f"batch {batch.id}: no broker has so many events")
    if (batch.rewrite_of or 0) > _MAX_EVENTS:
        raise ImpossibleBatch(f"batch {batch.id}: it stands for a message that no broker has")
    if b"\\u0000" in data and any("\0" in text for text in _texts(batch)):
        raise ImpossibleBatch(f"batch {batch.id}: a text holds a NUL character")
    if _nameless(batch.accounts, batch.instances):
        raise ImpossibleBatch(f"batch {batch.id}: an event names neither an account nor an instance")


def _nameless(accounts: Sequence[str | bytes], instances: Sequence[str | None] | None) -> bool:
    """Whether an event names neither an account nor an instance."""
    if instances is None:
        return not all(accounts)
    return any(not account and not instance for account, instance in zip(accounts, instances, strict=True))


def _latest_us(stored_at: datetime) -> int:
    return int((stored_at + FUTURE_SLACK).timestamp() * 1_000_000)


def _texts(batch: UsageBatch) -> Iterator[str]:
    """All that is stored of a batch."""
    columns = (batch.accounts, batch.users, batch.features, batch.environments, batch.actors, batch.instances)
    yield from (text for column in columns for text in column or () if text)
    if batch.import_id:
        yield batch.import_id


def rows(batch: Batch, wanted: list[bool]) -> Batch:
    """The batch of those events that are wanted."""

    def some(column: Iterable[T] | None) -> list[T] | None:
        return None if column is None else list(compress(column, wanted))

    return msgspec.structs.replace(
        batch,
        accounts_utf8=list(compress(split(batch.accounts_utf8), wanted)),
        users_utf8=list(compress(split(batch.users_utf8), wanted)),
        features_utf8=list(compress(split(batch.features_utf8), wanted)),
        instants=batch.instants[wanted],
        environments=some(batch.environments),
        actors=some(batch.actors),
        instances=some(batch.instances),
    )
