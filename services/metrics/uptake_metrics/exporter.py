"""The board as Prometheus text: one series per account and gauge, absent where a number is unknown. Computes nothing.

The text is written off the event loop when the board changed, and served as it is: tens of thousands of accounts must
not hold up counting.
"""

import asyncio
from collections.abc import Callable, Iterable

from uptake.subjects import shard_of
from uptake_metrics.board import Board, Line

Value = int | float | None

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
_INFO_LABELS = ("name", "region", "segment", "owner", "time_zone", "plan")


class Exporter:
    """Keeps the text of the newest version of the board."""

    def __init__(self, board: Board, shards: Callable[[], frozenset[int]]) -> None:
        """`shards`: those whose accounts this process tells of, so that of several replicas one tells of each."""
        self._board = board
        self._shards = shards
        self._written: tuple[int, frozenset[int]] | None = None
        self._text = b""

    async def text(self) -> bytes:
        """The text as of the last `render`."""
        return self._text

    async def render(self) -> None:
        """Write the text again if the board has changed, or whose accounts are ours."""
        wanted = self._board.version, self._shards()
        if wanted != self._written:
            self._text = await asyncio.to_thread(_of_shards, list(self._board.lines.values()), wanted[1])
            self._written = wanted


def _of_shards(lines: Iterable[Line], shards: frozenset[int]) -> bytes:
    return exposition(line for line in lines if shard_of(line.account.account) in shards)


def exposition(lines: Iterable[Line]) -> bytes:
    """Prometheus text format 0.0.4 of these accounts."""
    ordered = [(_label(line.account.account), line) for line in sorted(lines, key=lambda line: line.account.account)]
    out: list[str] = []
    for name, (description, value_of) in GAUGES.items():
        out += [f"# HELP {name} {description}", f"# TYPE {name} gauge"]
        out += [
            f'{name}{{account="{label}"}} {value}' for label, line in ordered if (value := value_of(line)) is not None
        ]
    out += [f"# HELP {INFO[0]} {INFO[1]}", f"# TYPE {INFO[0]} gauge"]
    out += [f"{INFO[0]}{{{_info(label, line)}}} 1" for label, line in ordered]
    return ("\n".join(out) + "\n").encode()


def _info(label: str, line: Line) -> str:
    known = ((name, getattr(line.account, name)) for name in _INFO_LABELS)
    return ",".join([f'account="{label}"', *(f'{name}="{_label(value)}"' for name, value in known if value)])


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
