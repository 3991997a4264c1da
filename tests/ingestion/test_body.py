"""Bodies within their limits."""

import gzip

import pytest

from uptake_ingestion.body import MAX_BODY_BYTES, Budget, gunzip
from uptake_ingestion.rejections import Rejected

_ZIPPED = gzip.compress(b"text", mtime=0)


def test_a_bomb_gives_no_more_than_the_limit_and_one_byte():
    bomb = gzip.compress(b"\0" * 100_000_000)
    assert len(gunzip(bomb)) == MAX_BODY_BYTES + 1


def test_files_that_were_joined_are_one_body():
    assert gunzip(gzip.compress(b"one") + gzip.compress(b"two")) == b"onetwo"


@pytest.mark.parametrize("data", [b"text", _ZIPPED[:-1], _ZIPPED + b"garbage"])
def test_what_is_not_whole_is_turned_away(data):
    with pytest.raises(Rejected) as caught:
        gunzip(data)
    assert (caught.value.status, caught.value.error) == (400, "bad_gzip")


def test_over_the_budget_senders_are_told_to_come_back_and_afterwards_they_may():
    budget = Budget(limit_bytes=100)
    with budget.hold() as one:
        one.more(60)
        with budget.hold() as other:
            other.more(40)
            with pytest.raises(Rejected) as caught:
                other.more(1)
        assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
        one.more(40)
    with budget.hold() as again:
        again.more(100)
