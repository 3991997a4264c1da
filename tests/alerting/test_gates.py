"""Why nothing goes out about an alert, as a table."""

from datetime import UTC, datetime, timedelta

import pytest

from uptake_alerting.gates import UNTOUCHED, Gate, Handling, gates
from uptake_alerting.silences import Matcher, Silence

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
SOON, LATER, BEFORE = NOW + timedelta(hours=1), NOW + timedelta(hours=2), NOW - timedelta(hours=1)


def silence(name, end, account="acme"):
    return Silence(name, (Matcher("account", "=", account),), BEFORE, end)


@pytest.mark.parametrize(
    ("given", "shut"),
    [
        ({}, []),
        ({"silences": [silence("s1", SOON), silence("s2", LATER)]}, [Gate("silenced", LATER, "s2")]),
        ({"inhibited_by": "telemetry-silent"}, [Gate("inhibited", None, "telemetry-silent")]),
        ({"held_until": SOON}, [Gate("held", SOON)]),
        ({"held_until": NOW}, []),
        ({"handling": Handling(snoozed_until=SOON)}, [Gate("snoozed", SOON)]),
        ({"handling": Handling(snoozed_until=NOW)}, []),
        ({"handling": Handling("ce-1", SOON)}, [Gate("acked", SOON, "ce-1")]),
        ({"handling": Handling("ce-1", NOW)}, []),
        ({"handling": Handling("ce-1", None)}, [Gate("acked", None, "ce-1")]),
        (
            {"held_until": SOON, "inhibited_by": "x", "handling": Handling("ce-1", SOON, LATER)},
            [Gate("held", SOON), Gate("inhibited", None, "x"), Gate("snoozed", LATER), Gate("acked", SOON, "ce-1")],
        ),
    ],
)
def test_each_gate_has_a_name_an_end_and_a_cause(given, shut):
    known = {"handling": UNTOUCHED, "silences": [], "inhibited_by": None, "held_until": None} | given
    assert list(gates(known.pop("handling"), **known, now=NOW)) == shut


@pytest.mark.parametrize("gate", [Gate("silenced", SOON, "s1"), Gate("inhibited", None, "telemetry-silent")])
def test_a_gate_comes_back_from_its_row(gate):
    assert Gate.from_json(gate.as_json()) == gate
