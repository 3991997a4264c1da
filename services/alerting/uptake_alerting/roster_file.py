"""Where `roster.yml` is read, and what is wrong with a file. Decides nothing."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

from uptake import config
from uptake.config import ConfigFile
from uptake_alerting import rota
from uptake_alerting.roster import Place, Roster
from uptake_alerting.routes import FILE as ROUTES
from uptake_alerting.routes import Routes, parse
from uptake_alerting.wall import Span

FILE = "roster.yml"
SHIPPED = (Path(__file__).parent / "shipped" / FILE).read_text(encoding="utf-8")
GAP_DAYS = 60  # how far ahead a gap is looked for


class RosterFile(ConfigFile[Roster]):
    """The roster in force."""

    def __init__(self, path: Path | None, shipped: str = SHIPPED) -> None:
        super().__init__(path, Roster, shipped)

    def gap_days(self, now: datetime) -> dict[str, list[date]]:
        """The days ahead on which a rotation has a gap, of every rotation in force."""
        return gap_days(self.current(), now)


def gap_days(roster: Roster, now: datetime) -> dict[str, list[date]]:
    ahead = Span(now, now + timedelta(days=GAP_DAYS))
    return {name: rota.gap_days(roster, name, ahead) for name in roster.rotations}


def check(config_dir: Path, now: datetime) -> list[str]:
    """What is wrong with the file in a folder; and, of a good one, who is on call in vain and when nobody is."""
    path = config_dir / FILE
    if found := config.check(path, Roster):
        return found
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    roster = config.parse(text, Roster)
    doubts = [*_unreachable(roster, _routes(config_dir)), *_gaps(roster, now)]
    return [f"{path}: line {config.line_of(text, *place)}: {said}" for place, said in doubts]


def _gaps(roster: Roster, now: datetime) -> Iterator[tuple[Place, str]]:
    for name, days in gap_days(roster, now).items():
        if days:
            many = f"{len(days)} of the next {GAP_DAYS} days, first on {days[0]}"
            yield ("rotations", name), f"rotations.{name}: nobody is on call for a part of {many}"


def _unreachable(roster: Roster, routes: Routes | None) -> Iterator[tuple[Place, str]]:
    """Whoever has to answer for others; an owner without a channel has a deputy, and is seen in `route test`."""
    if routes is None or not routes.channels:
        return
    for place, name in roster.on_duty():
        channels = [routes.channels[channel] for channel in routes.serving(name)]
        if all(channel.destination(roster.by_name[name]) is None for channel in channels):
            yield place, f"{'.'.join(map(str, place))}: no channel of {ROUTES} reaches {name}"


def _routes(config_dir: Path) -> Routes | None:
    """Null while the file is not there or cannot be in force, which its own check says."""
    try:
        return parse((config_dir / ROUTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
