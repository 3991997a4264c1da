"""What rules would have told, over history that was published: a report of a candidate beside a baseline.

Pure but for `main`, the command `uptake-alerting backtest`. Whoever is to be told can be: channels play no part.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from uptake import config
from uptake_alerting.fold import State
from uptake_alerting.rehearsal import PLAYED, Notice, Rehearsed, Sample, Stage, sample_of
from uptake_alerting.rehearsed_routes import Everybody, EverybodyAndCatchAll
from uptake_alerting.roster import Roster
from uptake_alerting.rule_file import SHIPPED
from uptake_alerting.rules import Rules

FLAP = timedelta(days=14)  # an episode that begins so soon after the end of the one before it
DIGEST = "digest"  # in the place of a rule
Week = tuple[str, str]  # an engineer, and the Monday


class Tally:
    """Counts what one file of rules makes of the history, of what began or was told on `first` to `last`.

    A digest is one notice, whatever it carries. `weeks`: notices of each engineer and week, by rule; `digests`: the
    lines of their digests, likewise. `days`: of each account, how many were played.
    """

    def __init__(self, first: date, last: date) -> None:
        self.first, self.last = first, last
        self.days, self.episodes, self.flaps, self.notices = (Counter[str]() for _ in range(4))
        self.weeks: dict[Week, Counter[str]] = defaultdict(Counter)
        self.digests: dict[Week, Counter[str]] = defaultdict(Counter)
        self._ended: dict[tuple[str, str], datetime] = {}  # the latest of a rule and subject
        self._digests: dict[str, datetime] = {}  # when the latest of each engineer went

    def day(self, account: str, day: date, at: datetime, conditions: Mapping[str, State]) -> None:
        self.days[account] += self.first <= day <= self.last

    def episode(self, episode: Rehearsed) -> None:
        """Those of one rule and subject come in their order."""
        of = (episode.rule, episode.subject)
        if self.first <= episode.since <= self.last:
            self.episodes[episode.rule] += 1
            self.flaps[episode.rule] += of in self._ended and episode.fired_at - self._ended[of] < FLAP
        if episode.ended_at is not None:
            self._ended[of] = episode.ended_at

    def notice(self, notice: Notice) -> None:
        if not self.first <= notice.day <= self.last:
            return
        self.notices[notice.rule] += 1
        week = (_whom(notice), _monday(notice.at))
        if not notice.digest:
            self.weeks[week][notice.rule] += 1
            return
        if self._digests.get(_whom(notice)) != notice.at:
            self._digests[_whom(notice)] = notice.at
            self.weeks[week][DIGEST] += 1
        self.digests[week][notice.rule] += 1


def _whom(notice: Notice) -> str:
    return notice.person or notice.channel


def _monday(at: datetime) -> str:
    day = at.astimezone(UTC).date()
    return (day - timedelta(days=day.weekday())).isoformat()


def report(candidate: Tally, baseline: Tally, rules: Sequence[str]) -> dict[str, Any]:
    """`rules` and `engineers`: baseline beside candidate, of engineers the fullest week."""
    engineers = sorted({engineer for engineer, _ in [*candidate.weeks, *baseline.weeks]})
    return {
        "from": candidate.first.isoformat(),
        "to": candidate.last.isoformat(),
        "accounts": sum(count > 0 for count in candidate.days.values()),
        "days": candidate.days.total(),
        "rules": [
            {
                "rule": rule,
                **{
                    name: {"baseline": getattr(baseline, name)[rule], "candidate": getattr(candidate, name)[rule]}
                    for name in ("episodes", "notices", "flaps")
                },
            }
            for rule in rules
        ],
        "engineers": [
            {"engineer": who, "baseline": _fullest(baseline, who), "candidate": _fullest(candidate, who)}
            for who in engineers
        ],
    }


def _fullest(found: Tally, engineer: str) -> dict[str, Any]:
    """The week in which somebody heard most, and how many notices that was; in the mean, over the weeks with any.

    `digest`: the rules that the digests of that week told of.
    """
    mine = {monday: by_rule for (who, monday), by_rule in found.weeks.items() if who == engineer}
    if not mine:
        return {"week": None, "notices": 0, "rules": {}, "digest": [], "mean": 0.0}
    monday = max(sorted(mine), key=lambda week: mine[week].total())
    total = sum(by_rule.total() for by_rule in mine.values())
    return {
        "week": monday,
        "notices": mine[monday].total(),
        "rules": _by_count(mine[monday]),
        "digest": list(_by_count(found.digests.get((engineer, monday), {}))),
        "mean": round(total / len(mine), 1),
    }


def _by_count(found: Mapping[str, int]) -> dict[str, int]:
    """The most first."""
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def too_many(found: dict[str, Any], most: int | None) -> list[str]:
    """Whom the candidate would tell more than `most` times in a week."""
    over = [one for one in found["engineers"] if most is not None and one["candidate"]["notices"] > most]
    return [_complaint(one["engineer"], one["candidate"], most or 0) for one in over]


def _complaint(engineer: str, week: dict[str, Any], most: int) -> str:
    inside = {DIGEST: f" ({', '.join(week['digest'])})"}
    rules = ", ".join(f"{rule} {count}{inside.get(rule, '')}" for rule, count in week["rules"].items())
    return f"{engineer} would get {week['notices']} notices in the week of {week['week']}, more than {most}: {rules}"


def main(words: list[str]) -> int:
    """JSON lines of `GET /api/v1/snapshots` in, a report out: 0, 1 when the gate is shut, 2 when a file is wrong."""
    asked = _arguments(words)
    try:
        candidate, baseline = _rules(asked.rules), _rules(asked.baseline)
        roster, history = _roster(asked.roster), map(sample_of, map(json.loads, sys.stdin))
        found = _compare(candidate, baseline, roster, history, asked.first, asked.last)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    found["problems"] = too_many(found, asked.max)
    sys.stdout.write(json.dumps(found) + "\n")
    return 1 if found["problems"] else 0


def _compare(
    candidate: Rules, baseline: Rules, roster: Roster, history: Iterable[Sample], first: date, last: date
) -> dict[str, Any]:
    """Both at once over samples in the order of time, so that no more of the history is kept than of one instant.

    The catch-all hears what nobody else would, but nothing rises to it: here nobody acks, and all would.
    """
    until = datetime.combine(last + timedelta(days=2), time(0), UTC)
    tallies = (Tally(first, last), Tally(first, last))
    stages = [
        Stage(rules, roster, EverybodyAndCatchAll(), until, counts, above=Everybody())
        for rules, counts in zip((candidate, baseline), tallies, strict=True)
    ]
    for sample in history:
        for stage in stages:
            stage.follow(sample)
    for stage in stages:
        stage.end()
    named = {rule.name: rule.subject_kind in PLAYED for rule in (*candidate.alerts, *baseline.alerts)}
    found = report(*tallies, [name for name, played in named.items() if played])
    return found | {"not_played": [name for name, played in named.items() if not played]}


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="uptake-alerting backtest")
    parser.add_argument("--rules", required=True, help="a file, or: shipped")
    parser.add_argument("--baseline", required=True, help="a file, or: shipped")
    parser.add_argument("--roster", type=Path, help="without it, whoever the facts name is always at work")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, required=True)
    parser.add_argument("--to", dest="last", type=date.fromisoformat, required=True)
    parser.add_argument("--max", type=int)
    return parser.parse_args(words)


def _rules(name: str) -> Rules:
    return config.parse(SHIPPED, Rules) if name == "shipped" else config.read(Path(name), Rules)


def _roster(file: Path | None) -> Roster:
    return config.read(file, Roster) if file is not None else Roster()
