"""Four metrics replicas over one database against one, on the same backlog. All of them run and are calm before it."""

from collections.abc import Iterator
from contextlib import ExitStack

from .frame import Contestant, Measure, Size
from .pipeline import Race
from .servers import folder, postgres

NAMES = ("replicas",)

_EVENTS = {Size.SMALL: 150_000, Size.FULL: 600_000}


def measures(size: Size) -> Iterator[Measure]:
    events = _EVENTS[size]
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        database = stack.enter_context(postgres(place / "postgres"))
        race = Race(place, database, events)
        yield Measure(
            "replicas",
            f"four metrics replicas on four cores ({events:,} events on USAGE to the last commit)",
            "events/s",
            higher_is_better=True,
            ours=Contestant("four replicas", lambda: race.ours(4)),
            peers=(Contestant("one", race.ours, 2.5),),
        )
