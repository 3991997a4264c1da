"""What rules would have told, over history that was published: a report of a candidate beside a baseline.

Pure but for `main`, the command `uptake-alerting backtest`. Whoever is to be told can be: channels play no part.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from uptake import config
from uptake.messages.kpi import AccountSnapshot
from uptake_alerting.rehearsal import PLAYED, Notice, Rehearsal, Sample, Stage, sample_of
from uptake_alerting.rehearsed_routes import EverybodyAndCatchAll
from uptake_alerting.roster import Roster
from uptake_alerting.rule_file import SHIPPED
from uptake_alerting.rules import Rules

FLAP = timedelta(days=14)  # an episode that begins so soon after the end of the one before it
DIGEST = "digest"  # in the place of a rule
Week = tuple[str, str]  # an engineer, and the Monday


@dataclass(frozen=True, slots=True)
class Tally:
    """What one file of rules makes of the history.

    `weeks`: notices of each engineer and week, by rule; `digests`: likewise the lines of their digests.
    """

    episodes: Counter[str]
    flaps: Counter[str]
    notices: Counter[str]
    weeks: dict[Week, Counter[str]]
    digests: dict[Week, Counter[str]]


def tally(found: Rehearsal, first: date, last: date) -> Tally:
    """Of what began, or was told, on `first` to `last`. A digest is one notice a day, whatever it carries.

    What reaches nobody in particular only because here nobody acks, and somebody else was told of it first, is none.
    """
    episodes, flaps, ended = Counter[str](), Counter[str](), dict[tuple[str, str], datetime]()
    for one in sorted(found.episodes, key=lambda one: one.fired_at):
        before = ended.get((one.rule, one.subject))
        if first <= one.since <= last:
            episodes[one.rule] += 1
            flaps[one.rule] += before is not None and one.fired_at - before < FLAP
        if one.ended_at is not None:
            ended[one.rule, one.subject] = one.ended_at
    told = [one for one in found.notices if first <= one.day <= last and (one.person or not one.escalated)]
    weeks: dict[Week, Counter[str]] = defaultdict(Counter)
    digests: dict[Week, Counter[str]] = defaultdict(Counter)
    for notice in told:
        if not notice.digest:
            weeks[_week(notice)][notice.rule] += 1
    for lines in _digests(told):
        week = _week(lines[-1])
        weeks[week][DIGEST] += 1
        digests[week].update(line.rule for line in lines)
    return Tally(episodes, flaps, Counter(notice.rule for notice in told), dict(weeks), dict(digests))


def _digests(told: Iterable[Notice]) -> Iterable[list[Notice]]:
    """The lines of each: one of an engineer and day."""
    found: dict[tuple[str, date], list[Notice]] = defaultdict(list)
    for line in told:
        if line.digest:
            found[_whom(line), line.day].append(line)
    return found.values()


def _week(notice: Notice) -> Week:
    return _whom(notice), _monday(notice.at)


def _whom(notice: Notice) -> str:
    return notice.person or notice.channel


def _monday(at: datetime) -> str:
    day = at.astimezone(UTC).date()
    return (day - timedelta(days=day.weekday())).isoformat()


def report(candidate: Tally, baseline: Tally, rules: Sequence[str], first: date, last: date) -> dict[str, Any]:
    """`rules` and `engineers`: baseline beside candidate. `worst`: the fullest week of any engineer."""
    engineers = sorted({engineer for engineer, _ in [*candidate.weeks, *baseline.weeks]})
    return {
        "from": first.isoformat(),
        "to": last.isoformat(),
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
        "rules": dict(mine[monday].most_common()),
        "digest": [rule for rule, _ in found.digests.get((engineer, monday), Counter()).most_common()],
        "mean": round(total / len(mine), 1),
    }


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
    """Both at once over samples in the order of time, so that no more of the history is kept than of one instant."""
    until = datetime.combine(last + timedelta(days=2), time(0), UTC)
    stages = [Stage(rules, roster, EverybodyAndCatchAll(), until) for rules in (candidate, baseline)]
    days = Counter[str]()
    for sample in history:
        for stage in stages:
            stage.follow(sample)
        if isinstance(sample, AccountSnapshot) and first <= sample.kpis.as_of <= last:
            days[sample.account] += 1
    tallies = [tally(stage.end(), first, last) for stage in stages]
    named = {rule.name: rule.subject_kind in PLAYED for rule in (*candidate.alerts, *baseline.alerts)}
    found = report(tallies[0], tallies[1], [name for name, played in named.items() if played], first, last)
    return found | {
        "not_played": [name for name, played in named.items() if not played],
        "accounts": len(days),
        "days": days.total(),
    }


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
