"""The whole of a notice: what broke, the numbers, since when, whose it is, why you, what next, and links. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from uptake.messages.alerts import AlertData
from uptake_alerting.fold import ONE_SHOT
from uptake_alerting.notices import NoticeKind
from uptake_alerting.wording.sentences import ending, ratio, target
from uptake_alerting.wording.text import Notice, short

_OVER = ("resolved", "closed")
_KINDS: dict[NoticeKind, str] = {"update": "Update", "reminder": "Reminder", "escalation": "Escalated"}
_DIGEST_LENGTH = 40  # alerts that a digest names; the rest is counted


def notice(data: AlertData, why: str, kind: NoticeKind = "trigger") -> Notice:
    """`data` is the event's snapshot: of the firing for a trigger, of the end for a terminal."""
    over = data.state in _OVER
    state = f"Since {data.since}; over because {ending(data.reason, data.values)}." if over else f"Since {data.since}."
    if data.reason == ONE_SHOT:
        state = f"On {data.since}; {ending(data.reason, data.values)}."
    owner = f"Owner: {short(data.owner) if data.owner else 'nobody'}. You get this because {short(why)}."
    step = [] if over else [f"Next step: {data.next_step}"]
    links = [f"{name.capitalize()}: {url}" for name, url in data.links.items()]
    return Notice(f"{_label(data, kind)}: {data.summary}", (state, *_numbers(data), owner, *step, *links))


def digest(items: Sequence[AlertData], person: str | None, title: str) -> Notice:
    """One line for each alert, the worst first; of very many, the first of them and how many more there are."""
    rank = {"critical": 0, "warning": 1, "info": 2}
    ordered = sorted(items, key=lambda one: (one.state in _OVER, rank[one.severity], str(one.since), one.episode))
    open_ones = sum(one.state not in _OVER for one in ordered)
    whose = f" for {short(person)}" if person else ""
    headline = f"{title}{whose}: {open_ones} open, {len(ordered) - open_ones} over"
    lines = [_line(one) for one in ordered[:_DIGEST_LENGTH]]
    if len(ordered) > _DIGEST_LENGTH:
        more = Counter(one.rule for one in ordered[_DIGEST_LENGTH:])
        lines.append(f"And {more.total()} more: " + ", ".join(f"{n} x {rule}" for rule, n in more.most_common()))
    return Notice(headline, tuple(lines))


def _line(data: AlertData) -> str:
    """With the first link there is: that of the subject, or else of the alert."""
    url = next(iter(data.links.values()), None)
    return f"{_label(data, 'digest')}: {data.summary}" + (f" {url}" if url else "")


def cover(notices: Sequence[Notice], person: str | None) -> Notice:
    """The head line of several notices that go together: how many there are of each kind."""
    kinds = Counter(one.headline.partition(":")[0].lower() for one in notices)
    whose = f" for {short(person)}" if person else ""
    return Notice(f"{len(notices)} alerts{whose}: " + ", ".join(f"{n} {kind}" for kind, n in kinds.items()), ())


def _label(data: AlertData, kind: NoticeKind) -> str:
    if data.state in _OVER and data.reason != ONE_SHOT:
        return data.state.capitalize()
    severity = data.severity.capitalize()
    return f"{_KINDS[kind]} ({severity})" if kind in _KINDS else severity


def _numbers(data: AlertData) -> Iterator[str]:
    lines = {"account": _of_account, "trial": _of_trial, "team": _of_team, "instance": _of_instance}
    if data.subject_kind in lines:
        yield from lines[data.subject_kind](data.values)


def _of_account(values: Mapping[str, Any]) -> Iterator[str]:
    adoption, usage = values["adoption"], values["usage"]
    yield (
        f"Adoption {ratio(adoption)} = {_known(adoption['num'])} active users of {_known(adoption['den'])} seats "
        f"over {values['window_days']} days, as of {values['as_of']}."
    )
    if values["target"] is not None:
        band = f"until day {values['band_end']}" if values["band_end"] is not None else "with no later step"
        later = f", then {target(values['next_target'])}" if values["next_target"] is not None else ""
        yield f"Target {target(values['target'])} on day {values['n']} ({values['policy']}), {band}{later}."
    if usage["num"] is not None and usage["den"]:
        yield f"Usage {ratio(usage)} = {usage['num']} user-days of {usage['den']} ({usage['status']})."
    yield from _trend(values)
    if values["seats_changed_on"] is not None:
        before = "none" if values["seats_before"] is None else values["seats_before"]
        yield f"Seats {before} -> {values['seats']} on {values['seats_changed_on']}."
    if values["data_health"] != "fresh":
        yield f"The data are {values['data_health']}: last contact {_known(values['last_contact'])}."


def _trend(values: Mapping[str, Any]) -> Iterator[str]:
    """What the numbers were 7 and 28 days before; nothing is said of days that are not known."""
    for name in ("adoption", "usage"):
        then = {days: dict(zip(("num", "den"), of[name], strict=True)) for days, of in values["before"].items()}
        told = [f"{ratio(number)} {days} days before" for days, number in then.items() if ratio(number) != "unknown"]
        if told and ratio(values[name]) != "unknown":
            yield f"Trend of {name}: {ratio(values[name])} now, {', '.join(told)}."


def _of_trial(values: Mapping[str, Any]) -> Iterator[str]:
    due = f", so it is over from {values['breached_on']}" if values["breached_on"] else ""
    yield f"A {values['complexity']} trial, started on {values['started']}, due in {values['target_days']} days{due}."
    if values["cycle_days"] is not None:
        yield f"It took {values['cycle_days']} days; outcome: {values['outcome'] or 'none'}."
    usage = values["usage"]
    if usage is not None and usage["mau"] is not None:
        yield f"Trial users: {usage['mau']} in 30 days, {usage['wau']} in 7 days, as of {usage['as_of']}."


def _of_team(values: Mapping[str, Any]) -> Iterator[str]:
    closure = values["closure"]
    yield (
        f"Technical closure {ratio(closure)} = {closure['num']} technical wins of {closure['den']} concluded in "
        f"{values['quarter']}, target {target(values['target'])}."
    )


def _of_instance(values: Mapping[str, Any]) -> Iterator[str]:
    yield f"Its data wait since {values['since']} and are counted, on their own days, once it is mapped."


def _known(value: Any) -> str:
    return "unknown" if value is None else str(value)
