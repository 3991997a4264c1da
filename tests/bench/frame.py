"""The frame of every benchmark: who runs against whom, how often, and what is judged. It starts nothing itself.

A measure module lies beside this file and offers

    NAMES: tuple[str, ...]                          the measures it yields, known before anything is started
    def measures(size: Size) -> Iterator[Measure]   a generator: starts its servers, yields, stops them in `finally`

It imports its peers inside `measures`, so that a peer that is not installed costs that module only.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Size(StrEnum):
    SMALL = "small"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Contestant:
    """`run` does the work once and returns its figure in the measure's unit; what it raises is its error."""

    name: str
    run: Callable[[], float]
    at_least: float | None = None  # the ratio that we have to reach against this peer


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    title: str
    unit: str
    higher_is_better: bool
    ours: Contestant
    peers: tuple[Contestant, ...] = ()
    limit: float | None = None  # what our own median has to reach, whatever the peers do


def absent(name: str, reason: str, at_least: float | None = None) -> Contestant:
    """A peer that could not be installed or started: it stays in the output, with the reason."""

    def run() -> float:
        raise RuntimeError(reason)

    return Contestant(name, run, at_least)


def compete(measure: Measure, rounds: int, step: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """Everyone runs once a round, in turn, every other round backwards. `step` hears who has just run."""
    everyone = [measure.ours, *measure.peers]
    runs: list[list[float]] = [[] for _ in everyone]
    errors: list[str | None] = [None for _ in everyone]
    for number in range(rounds):
        places = range(len(everyone))
        for place in places if number % 2 == 0 else reversed(places):
            if errors[place] is None:
                try:
                    runs[place].append(float(everyone[place].run()))
                except Exception as error:
                    errors[place] = f"{type(error).__name__}: {error}"
            step(everyone[place].name)
    return judged(measure, runs, errors)


def judged(measure: Measure, runs: Sequence[Sequence[float]], errors: Sequence[str | None]) -> dict[str, Any]:
    """The result as JSON. `runs` and `errors`: ours first, then the peers in order. A ratio above 1: we are better."""
    ours = _outcome(measure.ours, runs[0], errors[0])
    peers = [_outcome(*each) for each in zip(measure.peers, runs[1:], errors[1:], strict=True)]
    for peer, contestant in zip(peers, measure.peers, strict=True):
        peer["ratio"] = _ratio(measure, ours["median"], peer["median"])
        peer["at_least"] = contestant.at_least
        enough = contestant.at_least is None or (peer["ratio"] is not None and peer["ratio"] >= contestant.at_least)
        peer["holds"] = "error" not in peer and enough
    own = "error" not in ours and _within(measure, ours["median"])
    return {
        "name": measure.name,
        "title": measure.title,
        "unit": measure.unit,
        "higher_is_better": measure.higher_is_better,
        "ours": ours,
        "peers": peers,
        "limit": measure.limit,
        "holds": own and all(peer["holds"] for peer in peers),
    }


def broken(name: str, reason: str) -> dict[str, Any]:
    """The result of a measure that never got to run."""
    return {"name": name, "error": reason, "holds": False}


def _outcome(contestant: Contestant, runs: Sequence[float], error: str | None) -> dict[str, Any]:
    outcome: dict[str, Any] = {"name": contestant.name, "median": None, "runs": list(runs)}
    if error is None:
        outcome["median"] = statistics.median(runs)
    else:
        outcome["error"] = error
    return outcome


def _ratio(measure: Measure, ours: float | None, peer: float | None) -> float | None:
    better, worse = (ours, peer) if measure.higher_is_better else (peer, ours)
    return better / worse if better is not None and worse else None


def _within(measure: Measure, median: float) -> bool:
    if measure.limit is None:
        return True
    return median >= measure.limit if measure.higher_is_better else median <= measure.limit
