"""Orders of a list: the unknown last both ways, ties by name, and turns for others in between."""

import asyncio

import pytest

from uptake_metrics.ordering import TURN_S, checked, in_turns, ordered

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


async def test_a_list_that_takes_long_lets_others_have_their_turn() -> None:
    """However long a row takes: what counts is the time, not how many there were."""
    turns, spent_s = 0, [0.0]

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    rows = []
    async for row in in_turns(range(100), lambda: sum(spent_s)):
        rows.append(row)
        spent_s.append(TURN_S * (0.6 if row < 50 else 2))
    other.cancel()
    assert rows == list(range(100))
    assert turns == 74  # after two of the quick ones, and after each of the slow ones
