"""Orders of a list: the unknown last both ways, ties by name, and turns for others in between."""

import asyncio

import pytest

from uptake_metrics.ordering import checked, in_turns, ordered

ROWS = [("b", 2), ("d", None), ("a", 1), ("c", 2), ("e", None)]
KEYS = {"name": lambda row: row[0], "number": lambda row: row[1]}


@pytest.mark.parametrize(
    ("sort", "names"), [("name", "abcde"), ("-name", "edcba"), ("number", "abcde"), ("-number", "bcade")]
)
async def test_the_unknown_come_last_whatever_the_direction(sort: str, names: str) -> None:
    told = await ordered(reversed(ROWS), KEYS, sort, tie=lambda row: row[0])
    assert "".join(name for name, _ in told) == names


@pytest.mark.parametrize("sort", ["", "-", "size", "--name", "name-", "Name"])
def test_an_order_that_is_none_names_those_there_are(sort: str) -> None:
    with pytest.raises(ValueError, match="one of name, number"):
        checked(sort, KEYS)


async def test_a_long_list_lets_others_have_their_turn() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    rows = [row async for row in in_turns(range(5_000))]
    other.cancel()
    assert rows == list(range(5_000))
    assert turns >= 10
