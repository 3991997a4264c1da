"""A chore that fails is tried again, and told of once it has failed for long."""

import pytest

from uptake.reader import Fenced
from uptake_metrics.chores import PATIENCE_S, PUT_OFF_S, Chores, unhurried


class Ticking:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def monotonic():
    return Ticking()


async def sweep():
    raise OSError("no database")


async def test_a_chore_that_fails_is_a_problem_only_after_a_while(monotonic):
    chores = Chores(lambda: True, monotonic)
    for _ in range(3):
        with pytest.raises(OSError, match="no database"):
            await chores.once(sweep, 1)
        assert chores.problem() is None
        monotonic.now += PATIENCE_S / 2
    assert chores.problem() == "sweep fails with OSError"


async def test_success_forgets_the_failures_before(monotonic):
    chores, works = Chores(lambda: True, monotonic), False

    async def sometimes():
        if not works:
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011  # it has no message
        await chores.once(sometimes, 1)
    works = True
    monotonic.now += 2 * PATIENCE_S
    assert await chores.once(sometimes, 1) == 1
    assert chores.problem() is None


async def test_being_fenced_off_is_no_failure(monotonic):
    async def fenced():
        raise Fenced("another one was here")

    chores = Chores(lambda: True, monotonic)
    assert await chores.once(fenced, 2) == 2
    monotonic.now += 2 * PATIENCE_S
    assert chores.problem() is None


async def test_nothing_is_done_before_the_numbers_are_loaded(monotonic):
    chores = Chores(lambda: False, monotonic)
    assert await chores.once(sweep, 1) == 1


async def test_what_can_wait_is_put_off_while_busy_and_not_for_ever(monotonic):
    done, busy = [], True

    async def tidy():
        done.append(monotonic.now)

    patient = unhurried(tidy, lambda: busy, monotonic)
    assert patient.__name__ == "tidy"
    await patient()
    assert done == []
    monotonic.now += PUT_OFF_S
    await patient()
    await patient()
    assert len(done) == 1
    busy = False
    await patient()
    assert len(done) == 2
