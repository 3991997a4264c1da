"""Whether what would be said of a day or a trial is news to whoever knows what was published of it. Pure; no I/O."""

from typing import Any

Body = dict[str, Any]  # the JSON of a snapshot's message

#: Of an account's snapshot, what a past day is judged by beside its KPIs; the rest says who the account is today.
_OF_THE_DAY = {
    "seats_changed_on",
    "seats_before",
    "seat_grace_until",
    "use_cases",
    "breadth",
    "features_first_used",
    "more_features",
}
#: What differs whenever it is said again.
_PASSING = {"kpis", "revision", "published_at", "part", "parts", "import_id", "facts_to"}


def differs(new: Body, known: Body, *, whole: bool) -> bool:
    """Whether what is said of the day differs; on an account's newest day and for trials (`whole`) also who they are.

    What an earlier version did not say yet is no news, or every day that it published would be revised.
    """
    was = _lasting(known, whole)
    return _said_before(_lasting(new, whole), was) != was


def revision_after(wanted: int, newest: int) -> int:
    """A stream of facts that was made again counts from one; the revisions of a trial and of the team go on.

    `newest` is 0 when none was published.
    """
    return max(wanted, newest + 1 if newest else 0)


def _said_before(new: Body, known: Body) -> Body:
    """Of `new` the fields that `known` has, also of the objects within."""
    return {
        key: _said_before(value, known[key]) if isinstance(value, dict) and isinstance(known[key], dict) else value
        for key, value in new.items()
        if key in known
    }


def _lasting(body: Body, whole: bool) -> Body:
    kpis = {key: value for key, value in body.get("kpis", {}).items() if key != "revision"}
    around = {key: value for key, value in body.items() if key not in _PASSING and (whole or key in _OF_THE_DAY)}
    return {**around, "kpis": kpis}
