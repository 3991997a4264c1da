"""Bodies within their limits."""

import asyncio
import gzip

import pytest
from starlette.requests import Request

from uptake_ingestion.body import MAX_BODY_BYTES, Budget, gunzip, read
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


def test_over_so_many_requests_too_however_small_they_are():
    budget = Budget(limit_requests=1)
    with budget.hold(), pytest.raises(Rejected) as caught, budget.hold():
        pass
    assert (caught.value.status, caught.value.retry_after_s) == (429, 1)
    with budget.hold():
        pass


async def test_an_upload_that_stalls_lets_go_of_its_share():
    async def stalls():
        await asyncio.Event().wait()

    messages = iter([{"type": "http.request", "body": b"x" * 100, "more_body": True}])

    async def receive():
        return next(messages, None) or await stalls()

    budget = Budget(limit_bytes=100)
    with pytest.raises(Rejected) as caught, budget.hold() as hold:
        await read(Request({"type": "http", "headers": []}, receive), hold, timeout_s=0.01)
    assert (caught.value.status, caught.value.error) == (408, "too_slow")
    with budget.hold() as again:
        again.more(100)
