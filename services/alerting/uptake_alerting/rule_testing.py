"""`uptake-alerting test FILE`: snapshots of a rule test in, what differs from its expectations out. Judges nothing.

The snapshots come on standard input, one `{"test", "kind", "snapshot"}` a line, from `uptake-metrics sample FILE`.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from uptake import config
from uptake.config import InvalidConfig
from uptake.messages.kpi import AccountDay
from uptake.rule_tests import Case, Expected, ExpectedNotice, RuleTests
from uptake_alerting.fold import State
from uptake_alerting.rehearsal import Notice, Rehearsal, Rehearsed, Sample, rehearse, sample_of
from uptake_alerting.rehearsed_routes import Everybody
from uptake_alerting.roster import Roster
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.rules import Rules
from uptake_alerting.wall import start_of

_SHIPPED = Path(__file__).parent / "shipped" / "tests"
_OK = State()
_NEVER = datetime.min.replace(tzinfo=UTC)


def failures(case: Case, samples: Iterable[Sample], rules: Rules, roster: Roster) -> list[str]:
    """What differs, a line each; none: the test passes."""
    known = list(samples)
    found = rehearse(rules, known, roster, Everybody(), _end(case, known))
    wrong = [line for one in case.expect if (line := _state_differs(case, one, found)) is not None]
    if case.notices is not None:
        wrong += _notices_differ(case.notices, [one for one in found.notices if one.day >= case.start])
    return wrong


def _end(case: Case, samples: Sequence[Sample]) -> datetime:
    """Of an account, a day after the last close, for who is told only in the morning; of a trial, with its last day."""
    if case.trial is not None:
        return start_of(case.last + timedelta(days=1), case.trial.vendor_zone) - timedelta(microseconds=1)
    closes = [s.closed_at for s in samples if isinstance(s, AccountDay) and s.closed_at is not None]
    return max(closes) + timedelta(days=1) - timedelta(microseconds=1) if closes else _NEVER


def _state_differs(case: Case, one: Expected, found: Rehearsal) -> str | None:
    state, told = _state(case, one, found)
    same = one.state in told and one.since in (None, state.since) and one.severity in (None, state.severity)
    if same:
        return None
    wanted = _words(one.state, one.since, one.severity)
    got = _words(told[0], state.since if one.since else None, state.severity if one.severity else None)
    return f"{one.day} {one.rule}: expected {wanted}, got {got}"


def _words(state: str, since: Any, severity: Any) -> str:
    return " ".join([state, *([f"since {since}"] if since else []), *([severity] if severity else [])])


def _state(case: Case, one: Expected, found: Rehearsal) -> tuple[State, list[str]]:
    """Where the rule stands after the day, and the names for that: what ended is `ok` again, and how it ended."""
    of_rule = [each for each in found.episodes if each.rule == one.rule]
    if case.account is not None:
        subject = case.account.account
        day = max((day for name, day in found.closed if name == subject and day <= one.day), default=None)
        known = found.conditions.get((one.rule, subject, day)) if day else None
        end = found.closed[subject, day] if day else _NEVER
    else:
        end = start_of(one.day + timedelta(days=1), case.trial.vendor_zone if case.trial else "UTC")
        lasting = [each for each in of_rule if each.fired_at < end and (each.ended_at is None or each.ended_at >= end)]
        known = State("firing", since=lasting[0].since, severity=lasting[0].severity) if lasting else None
    if known is not None:
        return known, [known.condition]
    last = max((each for each in of_rule if each.ended_at and each.ended_at <= end), key=_fired_at, default=None)
    return _OK, ["ok", *([str(last.ended_as)] if last is not None else [])]


def _fired_at(episode: Rehearsed) -> datetime:
    return episode.fired_at


def _notices_differ(wanted: Sequence[ExpectedNotice], found: Sequence[Notice]) -> list[str]:
    """Exactly these: of each kind as many as there are."""
    expected = Counter((one.day, one.rule, str(one.kind), one.to) for one in wanted)
    got = Counter((one.day, one.rule, str(one.kind), str(one.person)) for one in found)
    missing = [(key, "expected, but nobody is told") for key in (expected - got).elements()]
    surplus = [(key, "told, but not expected") for key in (got - expected).elements()]
    return [f"{day} {rule}: {kind} to {to}: {what}" for (day, rule, kind, to), what in sorted([*missing, *surplus])]


def main(words: list[str]) -> int:
    """`test FILE [--json]`: 0 when all pass, 1 when one fails, 2 when the file is wrong. `test` alone names the files
    that are shipped."""
    as_json, files = "--json" in words, [word for word in words if word != "--json"]
    if not words:
        sys.stdout.writelines(f"{file}\n" for file in sorted(_SHIPPED.glob("*.yml")))
        return 0
    if len(files) != 1:
        sys.stderr.write("uptake-alerting: test needs one file\n")
        return 2
    file = Path(files[0])
    try:
        text = file.read_text(encoding="utf-8")
        tests = config.parse(text, RuleTests)
        rules, roster = _rules(file, tests), _roster(file, tests)
        _assert_rules_exist(text, tests, rules)
        samples = _read(sys.stdin, len(tests.tests))
        results = [
            (case, failures(case, of_case, rules, roster)) for case, of_case in zip(tests.tests, samples, strict=True)
        ]
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{file}: {error}\n")
        return 2
    failed = [case for case, wrong in results if wrong]
    if as_json:
        told = [{"name": case.name, "passed": not wrong, "failures": wrong} for case, wrong in results]
        sys.stdout.write(json.dumps({"file": str(file), "passed": not failed, "tests": told}) + "\n")
    else:
        sys.stdout.writelines(_lines(file, results))
    return 1 if failed else 0


def _lines(file: Path, results: Sequence[tuple[Case, list[str]]]) -> Iterable[str]:
    for case, wrong in results:
        if wrong:
            yield f"FAILED {file}: {case.name}\n"
            yield from (f"  {line}\n" for line in wrong)
    passed = sum(not wrong for _, wrong in results)
    yield f"{file}: {passed} of {len(results)} passed\n"


def _read(lines: Iterable[str], tests: int) -> list[list[Sample]]:
    samples: list[list[Sample]] = [[] for _ in range(tests)]
    for line in lines:
        told = json.loads(line)
        samples[told["test"]].append(sample_of(told))
    return samples


def _assert_rules_exist(text: str, tests: RuleTests, rules: Rules) -> None:
    """Raises InvalidConfig with the line: a slip in a name would else pass for a rule that never fires."""
    for number, case in enumerate(tests.tests):
        kind: Literal["account", "trial"] = "account" if case.account else "trial"
        known = {rule.name for rule in rules.of(kind)}
        for part in ("expect", "notices"):
            for at, one in enumerate(getattr(case, part) or ()):
                if one.rule not in known:
                    line = config.line_of(text, "tests", number, part, at, "rule")
                    names = ", ".join(sorted(known))
                    raise InvalidConfig(f"line {line}: {one.rule} is no rule about {kind}s; one of {names}")


def _rules(file: Path, tests: RuleTests) -> Rules:
    if tests.rules == "shipped":
        return RulesFile(None).current()
    return config.read(file.parent / tests.rules, Rules)


def _roster(file: Path, tests: RuleTests) -> Roster:
    return Roster() if tests.roster is None else config.read(file.parent / tests.roster, Roster)
