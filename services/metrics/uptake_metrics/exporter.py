"""The board as Prometheus text: one series per account and gauge, absent where a number is unknown. Computes nothing.

The text is written when it is asked for, in small turns of the event loop and only where something has changed: tens of
thousands of accounts must not hold up counting. A thread would: it takes the interpreter from the loop for longer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from uptake.messages.kpi import UseCaseKpi
from uptake.subjects import shard_of
from uptake_metrics.board import Board, Line
from uptake_metrics.ordering import in_turns
from uptake_metrics.use_case_gauges import UseCaseGauges

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
USE_CASES: dict[str, tuple[str, Callable[[UseCaseKpi], Value]]] = {
    "uptake_account_use_case_mau": (
        "Distinct users of a use case in 30 local days, today included.",
        lambda one: one.mau,
    ),
    "uptake_account_use_case_saturation_ratio": (
        "MAU of a use case / MAU.",
        lambda one: one.saturation.value,
    ),
}
INFO = ("uptake_account_info", "Always 1; who and where the account is.")
_FAMILIES = [
    *((name, description) for name, (description, _) in GAUGES.items()),
    *((name, description) for name, (description, _) in USE_CASES.items()),
    INFO,
]
_A_PIECE = 1_000  # accounts of one family; as one text those of 20,000 would hold the event loop for too long
_INFO_LABELS = ("name", "region", "segment", "owner", "time_zone", "plan")


class Exporter:
    """Writes the text when it is asked for and the board has changed; of each account only when its line has."""

    def __init__(
        self, board: Board, shards: Callable[[], frozenset[int]], use_cases: UseCaseGauges | None = None
    ) -> None:
        """`shards`: those whose accounts this process tells of, so that of several replicas one tells of each."""
        self._use_cases = use_cases
        self._board = board
        self._shards = shards
        self._lock = asyncio.Lock()  # two scrapes at once write it once
        self._written: tuple[int, frozenset[int]] | None = None
        self._samples: dict[str, tuple[Line, Samples]] = {}
        self._text: list[bytes] = []

    async def text(self) -> list[bytes]:
        """As of now, in pieces of which each is soon sent; nothing before there is a line of every account."""
        async with self._lock:
            wanted = self._board.version, self._shards()
            if self._board.complete and wanted != self._written:
                samples = [one async for one in self._of_accounts(wanted[1])]
                self._text = [piece async for piece in _pieces(samples)]
                self._written = wanted
            return self._text

    async def _of_accounts(self, shards: frozenset[int]) -> AsyncIterator[Samples]:
        lines = self._board.lines.items()
        mine = [(name, line) async for name, line in in_turns(lines) if shard_of(name) in shards]
        changed = [line async for name, line in in_turns(mine) if not self._is_written(name, line)]
        use_cases = await self._use_cases.of(changed) if self._use_cases else {}
        async for name, line in in_turns(mine):
            if not self._is_written(name, line):
                self._samples[name] = line, _samples(line, use_cases.get(name, ()))
            yield self._samples[name][1]

    def _is_written(self, name: str, line: Line) -> bool:
        return name in self._samples and self._samples[name][0] is line


async def _pieces(samples: Sequence[Samples]) -> AsyncIterator[bytes]:
    for place, (name, description) in enumerate(_FAMILIES):
        yield f"# HELP {name} {description}\n# TYPE {name} gauge\n".encode()
        for start in range(0, len(samples), _A_PIECE):
            known = [of_account[place] for of_account in samples[start : start + _A_PIECE] if of_account[place]]
            yield "".join([f"{lines}\n" for lines in known]).encode()
            await asyncio.sleep(0)


def _samples(line: Line, use_cases: Sequence[UseCaseKpi]) -> Samples:
    """Of each family, in their order; an empty text where a number is unknown."""
    label = escaped(line.account.account)
    values = ((name, value_of(line)) for name, (_, value_of) in GAUGES.items())
    gauges = ("" if value is None else f'{name}{{account="{label}"}} {value}' for name, value in values)
    of_use_cases = (_of_use_cases(name, label, use_cases, value_of) for name, (_, value_of) in USE_CASES.items())
    return (*gauges, *of_use_cases, f"{INFO[0]}{{{_info(label, line)}}} 1")


def _of_use_cases(
    name: str, label: str, use_cases: Sequence[UseCaseKpi], value_of: Callable[[UseCaseKpi], Value]
) -> str:
    values = ((one.use_case, value_of(one)) for one in use_cases)
    return "\n".join(
        f'{name}{{account="{label}",use_case="{use_case}"}} {value}' for use_case, value in values if value is not None
    )


def _info(label: str, line: Line) -> str:
    known = ((name, getattr(line.account, name)) for name in _INFO_LABELS)
    return ",".join([f'account="{label}"', *(f'{name}="{escaped(value)}"' for name, value in known if value)])


def escaped(value: str) -> str:
    """The value of a label, whatever is in it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
