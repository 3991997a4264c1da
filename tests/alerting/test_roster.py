"""Who gets a notice, as a table."""

import pytest

from uptake_alerting.roster import fallback, people_of_account, people_of_trial, recipients

SERVES = {"ops": (), "west": ("ce-1", "ce-3"), "team": ("ce-1",), "deputies": ("ce-2",)}
OWNED = people_of_account("ce-1", "ce-2")


@pytest.mark.parametrize(
    ("people", "default", "told"),
    [
        (OWNED, ["ops"], ["west", "team"]),
        (people_of_account("ce-9", "ce-2"), ["ops"], ["deputies"]),
        (people_of_account(None, "ce-2"), ["ops"], ["deputies"]),
        (people_of_account("ce-9", None), ["ops"], ["ops"]),
        (people_of_account(None, None), ["ops", "team"], ["ops", "team"]),
        (people_of_account("ce-9", None), [], []),
        (people_of_trial("ce-2", "ce-1"), ["ops"], ["deputies"]),
        (people_of_trial(None, "ce-3"), ["ops"], ["west"]),
    ],
)
def test_the_first_person_whom_a_channel_serves_else_the_default_channels(people, default, told):
    assert [r.channel for r in recipients(people, SERVES, default)] == told


@pytest.mark.parametrize(
    ("people", "why"),
    [
        (OWNED, "this channel serves ce-1, who owns the account"),
        (people_of_account("x", "ce-2"), "this channel serves ce-2, who stands in for the owner of the account"),
        (people_of_trial("ce-3", None), "this channel serves ce-3, who runs the trial"),
        (people_of_account("x", "y"), "this is a default channel, and no channel serves x or y"),
        (people_of_trial("x", "x"), "this is a default channel, and no channel serves x"),
        ([], "this is a default channel, and nobody owns the subject"),
    ],
)
def test_it_says_why(people, why):
    assert recipients(people, SERVES, ["ops"])[0].why == why


def test_a_channel_that_failed_hands_over_to_the_other_default_channels():
    assert [r.channel for r in fallback(["ops", "team"], "ops")] == ["team"]
    assert fallback(["ops", "team"], "ops")[0].why == "this is a default channel, and ops failed"
    assert fallback(["ops"], "ops") == ()
