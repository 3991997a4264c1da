"""The measures of the engine count right, on a small scale: a fast wrong answer is none. How fast is never asserted."""

import numpy as np
import pytest

from tests.bench import engine_accounts, frame
from tests.bench.engine_ours import Ours
from tests.bench.engine_rows import Population, Rows, Scale
from tests.bench.engine_scene import Scene, WrongCounts
from tests.bench.engine_stored import stored


@pytest.fixture(scope="module")
def population() -> Population:
    return Population(Scale(users=3_000, accounts=30))


@pytest.fixture
def scene(population) -> Scene:
    return Scene(population)


@pytest.fixture
def ours(scene) -> Ours:
    ours = Ours(scene.population, scene.front)
    ours.load(scene.population.history)
    return ours


def test_we_count_what_a_plain_recount_counts(scene, ours):
    scene.check(ours, scene.front)
    for slices in (scene.next_day, scene.steady):
        update = scene.updating(ours, slices)
        assert update() > 0
        assert update() > 0
        scene.end_slices()


def test_whoever_loses_one_user_day_is_found_out(scene, ours):
    history = scene.population.history
    row = np.flatnonzero((history.account == scene.recount.accounts[0]) & (history.day == scene.front))[:1]
    [lost] = ours.prepare(Rows(history.account[row], history.user[row], history.day[row]))
    ours.activity.remove(lost.series, lost.user, lost.day)
    with pytest.raises(WrongCounts):
        scene.check(ours, scene.front)


def test_everyone_gets_the_same_events(scene):
    assert scene.next_day(0) is scene.next_day(0)
    assert scene.next_day(1).day.max() == scene.front + 2


def test_what_is_stored_is_the_history(population):
    shards = stored(population)
    users = sum(len(set(shard.masks.user.tolist()) - {0}) for shard in shards)
    assert users == len(set(population.history.user.tolist()))
    assert sum(len(shard.accounts) for shard in shards) == population.accounts


def test_the_cost_of_an_event_is_measured():
    for measure in engine_accounts.measures(frame.Size.SMALL):
        found = frame.compete(measure, 1)
        assert found["ours"]["median"] > 0
        assert found["peers"][0]["ratio"] > 0
