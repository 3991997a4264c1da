"""The board as Prometheus text: one series per account and gauge, absent where a number is unknown. Computes nothing.

The text is written when it is asked for, in small turns of the event loop and only where something has changed: tens of
thousands of accounts must not hold up counting. A thread would: it takes the interpreter from the loop for longer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from operator import itemgetter

from uptake.subjects import shard_of
from uptake_metrics.board import Board, Line

Value = int | float | None
Samples = tuple[str, ...]  # one of each family

GAUGES: dict[str, tuple[str, Callable[[Line], Value]]] = {
    "uptake_account_dau": ("Users active on the account's local day so far.", lambda line: line.kpis.dau),
    "uptake_account_wau": ("Distinct users active in 7 local days, today included.", lambda line: line.kpis.wau),
    "uptake_account_mau": ("Distinct users active in 30 local days, today included.", lambda line: line.kpis.mau),
    "uptake_account_seats": ("Seats on production licences in force today.", lambda line: line.seats),
    "uptake_account_adoption_ratio": ("MAU / seats.", lambda line: line.kpis.adoption.value),
    "uptake_account_adoption_target_ratio": (
        "The step of the account's ladder that is due today.",
        lambda line: line.kpis.adoption.target,
    ),
    "uptake_account_usage_ratio": ("Mean DAU of 28 days / MAU.", lambda line: line.kpis.usage.value),
}
INFO = ("uptake_account_info", "Always 1; who and where the account is.")
_FAMILIES = [*((name, description) for name, (description, _) in GAUGES.items()), INFO]
_AT_A_TIME = 100  # accounts between two turns of the event loop: about 2 ms
_INFO_LABELS = ("name", "region", "segment", "owner", "time_zone", "plan")


class Exporter:
    """Writes the text when it is asked for and the board has changed; of each account only when its line has."""

    def __init__(self, board: Board, shards: Callable[[], frozenset[int]]) -> None:
        """`shards`: those whose accounts this process tells of, so that of several replicas one tells of each."""
        self._board = board
        self._shards = shards
        self._lock = asyncio.Lock()  # two scrapes at once write it once
        self._written: tuple[int, frozenset[int]] | None = None
        self._samples: dict[str, tuple[Line, Samples]] = {}
        self._text = b""

    async def text(self) -> bytes:
        """As of now; nothing before there is a line of every account."""
        async with self._lock:
            wanted = self._board.version, self._shards()
            if self._board.complete and wanted != self._written:
                samples = [one async for one in self._of_accounts(wanted[1])]
                self._text = b"".join([family async for family in _families(samples)])
                self._written = wanted
            return self._text

    async def _of_accounts(self, shards: frozenset[int]) -> AsyncIterator[Samples]:
        for number, (name, line) in enumerate(sorted(self._board.lines.items(), key=itemgetter(0))):
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            if shard_of(name) in shards:
                known = self._samples.get(name)
                if known is None or known[0] is not line:
                    known = self._samples[name] = line, _samples(line)
                yield known[1]


async def _families(samples: Sequence[Samples]) -> AsyncIterator[bytes]:
    for place, (name, description) in enumerate(_FAMILIES):
        known = [of_account[place] for of_account in samples if of_account[place]]
        await asyncio.sleep(0)
        yield "\n".join([f"# HELP {name} {description}", f"# TYPE {name} gauge", *known, ""]).encode()


def _samples(line: Line) -> Samples:
    """Of each family, in their order; an empty text where a number is unknown."""
    label = _label(line.account.account)
    values = ((name, value_of(line)) for name, (_, value_of) in GAUGES.items())
    gauges = ("" if value is None else f'{name}{{account="{label}"}} {value}' for name, value in values)
    return (*gauges, f"{INFO[0]}{{{_info(label, line)}}} 1")


def _info(label: str, line: Line) -> str:
    known = ((name, getattr(line.account, name)) for name in _INFO_LABELS)
    return ",".join([f'account="{label}"', *(f'{name}="{_label(value)}"' for name, value in known if value)])


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
