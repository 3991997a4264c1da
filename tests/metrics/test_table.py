"""The open-addressing table against a plain dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from uptake_metrics.table import ABSENT, MAX_LOAD, REBUILD_LOAD, SMALLEST, Table
from uptake_metrics.userdays import I32, I64, U64

pairs = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 1, 2**63, 2**64 - 1])), max_size=60)


def columns(rows: list[tuple[int, int]]) -> tuple[I32, U64]:
    return np.array([s for s, _ in rows], dtype=np.int32), np.array([u for _, u in rows], dtype=np.uint64)


def taken(table: Table, slots: I64) -> list[tuple[int, int]]:
    return list(zip(table.series[slots].tolist(), table.user[slots].tolist(), strict=True))


@given(batches=st.lists(pairs, max_size=5), strangers=pairs)
def test_each_pair_has_one_slot_of_its_own(
    batches: list[list[tuple[int, int]]], strangers: list[tuple[int, int]]
) -> None:
    table = Table()
    known = {row for batch in batches for row in batch}
    for batch in batches:
        assert taken(table, table.claim(*columns(batch))) == batch
    found = dict(zip(known, table.find(*columns(list(known))).tolist(), strict=True))
    assert len(set(found.values())) == len(known)
    assert table.find(*columns(strangers)).tolist() == [found.get(row, ABSENT) for row in strangers]


def test_a_million_hashes_of_any_kind_are_found_again() -> None:
    spread = np.random.default_rng(1).integers(0, 2**64, 500_000, dtype=np.uint64)
    low = np.arange(250_000, dtype=np.uint64)
    user = np.concatenate([spread, low, low << np.uint64(40), ~low])
    series = (np.arange(len(user)) % 3).astype(np.int32)
    table = Table()
    slots = table.claim(series, user)
    table.mask[slots] = user | np.uint64(1)
    assert len(set(slots.tolist())) == len(set(zip(series.tolist(), user.tolist(), strict=True)))
    assert np.array_equal(table.find(series, user), slots)


def test_growing_keeps_the_masks_that_have_a_day_and_drops_the_others() -> None:
    table = Table(100)
    slots = table.claim(*columns([(0, user) for user in range(400)]))
    table.mask[slots[:200]] = np.arange(1, 201, dtype=np.uint64)
    table.claim(*columns([(1, user) for user in range(5_000)]))
    kept = table.find(*columns([(0, user) for user in range(400)]))
    assert table.mask[kept[:200]].tolist() == list(range(1, 201))
    assert kept[200:].tolist() == [ABSENT] * 200


def test_growing_in_the_middle_of_a_claim_still_answers_for_the_known() -> None:
    table = Table(100)
    rows = [(0, user) for user in range(400)]
    table.mask[table.claim(*columns(rows))] = np.uint64(1)
    more = [(1, user) for user in range(5_000)]
    assert taken(table, table.claim(*columns(rows + more))) == rows + more
    assert table.mask[table.find(*columns(rows))].tolist() == [1] * 400


def test_repeats_of_one_new_pair_take_one_slot() -> None:
    table = Table()
    assert len(set(table.claim(*columns([(3, 9)] * 500)).tolist())) == 1


def test_a_presized_table_takes_its_users_without_growing() -> None:
    table = Table(users=10_000)
    was = table.nbytes
    table.claim(np.zeros(10_000, np.int32), np.arange(10_000, dtype=np.uint64))
    assert table.nbytes == was


def test_a_table_that_grows_is_never_much_larger_than_what_it_holds() -> None:
    table, users = Table(), 0
    for batch in np.array_split(np.random.default_rng(2).integers(0, 2**64, 100_000, dtype=np.uint64), 300):
        slots = table.claim(np.zeros(len(batch), np.int32), batch)
        table.mask[slots] = np.uint64(1)
        users += len(batch)
        assert users / MAX_LOAD <= len(table.mask) <= max(SMALLEST, users / REBUILD_LOAD + 1)


def test_users_who_want_the_last_slot_go_around_and_past_the_growing_steps() -> None:
    table = Table()
    many = np.random.default_rng(3).integers(0, 2**64, 1_000_000, dtype=np.uint64)
    user = many[table._home(np.zeros(len(many), np.int32), many) == SMALLEST - 1][:600]
    series = np.zeros(len(user), np.int32)
    slots = np.concatenate([table.claim(series[part], user[part]) for part in (slice(0, 300), slice(300, 600))])
    assert len(set(slots.tolist())) == 600
    assert len(table.mask) == SMALLEST
    assert np.array_equal(table.find(series, user), slots)
    assert table.find(series + np.int32(1), user).max() == ABSENT


def test_a_claim_takes_what_a_probe_has_said() -> None:
    table = Table()
    known, rows = columns([(0, 7)]), columns([(0, 7), (1, 7), (1, 7), (0, 8)])
    table.claim(*known)
    probed = table.probe(*rows)
    assert (probed < 0).tolist() == [False, True, True, True]
    slots = table.claim(*rows, probed.copy())
    assert slots[1:3].tolist() == (~probed[1:3]).tolist()
    assert np.array_equal(table.find(*rows), slots)
