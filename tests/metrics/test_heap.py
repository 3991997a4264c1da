"""What is in use stays, what is not goes, and what has been looked at is not looked at again."""

import gc
import weakref

import pytest

from uptake_metrics import heap
from uptake_metrics.heap import Heap


class Node:
    def __init__(self):
        self.itself = self


@pytest.fixture(autouse=True)
def collector():
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_garbage_that_refers_to_itself_is_collected():
    tidy = Heap()
    gone = weakref.ref(Node())
    tidy.tidy()
    assert gone() is None


def test_what_survived_is_set_aside():
    tidy = Heap()
    kept = [Node() for _ in range(100)]
    tidy.tidy()
    assert gc.get_freeze_count() >= len(kept)
    assert not any(one is kept for one in gc.get_objects())


def test_now_and_then_what_was_set_aside_is_looked_at_too(monkeypatch):
    monkeypatch.setattr(heap, "_TIDIES_A_SWEEP", 2)
    tidy, node = Heap(), Node()
    later_gone = weakref.ref(node)
    tidy.tidy()
    del node
    gc.collect()
    assert later_gone() is not None
    tidy.tidy()
    assert later_gone() is None
