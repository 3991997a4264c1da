"""Who used which feature when: memory and archive say the same, and snapshots tell it."""

import json
from datetime import date, timedelta

import pytest

from uptake_metrics import snapshots, worklist
from uptake_metrics.features import users
from uptake_metrics.use_cases import UseCases
from uptake_metrics.zones import to_number

TODAY = date(2026, 8, 25)
TAXONOMY = UseCases.model_validate({"use_cases": {"review": {"features": ["merge", "comment"]}}})


@pytest.fixture
async def used(metrics, event):
    await metrics.count(
        *(event("acme", user, f"{TODAY - timedelta(before)}", feature)
          for user, feature, before in [
              ("ann", "merge", 0), ("ann", "merge", 29), ("bob", "merge", 30), ("bob", "comment", 3), ("cid", "edit", 1)
          ]),
        event("acme", "eve", str(TODAY), "merge", environment="trial"),
        event("b", "ann", str(TODAY), "merge"),
    )  # fmt: skip
    return metrics


def counted(days, last):
    return users(days, to_number(last) - 29, to_number(last), TAXONOMY)


@pytest.mark.parametrize("before", [0, 1, 5])
async def test_memory_and_archive_say_the_same(used, before):
    last = TODAY - timedelta(before)
    held = used.tally.features.now("acme", last - timedelta(29), last)
    shard = used.counting.shard_of("acme").number
    stored = await used.tally.features.of_shard(shard, last - timedelta(29), last)
    assert counted(held, last)["acme"] == counted(stored, last)["acme"]


async def test_what_memory_does_not_hold_the_archive_does(used):
    first, last = TODAY - timedelta(80), TODAY - timedelta(29)
    assert used.tally.features.now("acme", first, last) is None
    assert counted(await used.tally.features.of("acme", first, last), last)["acme"].features == {"merge": 2}


async def test_many_accounts_each_on_its_own_day(used):
    found = await used.tally.features.mau(
        {"acme": TODAY - timedelta(3), "b": TODAY, "unknown": TODAY}, TAXONOMY
    )  # fmt: skip
    assert (found["acme"].total, found["acme"].use_cases) == (2, {"review": 2})
    assert (found["b"].total, found["unknown"].total) == (1, 0)


async def test_linked_ids_are_one_person(used, fact):
    await used.learn(fact("user.linked", account="acme", user="ann", other="bob"))
    for days in (
        await used.tally.features.of("acme", TODAY - timedelta(29), TODAY),
        await used.tally.features.of_shard(used.counting.shard_of("acme").number, TODAY - timedelta(29), TODAY),
    ):
        assert counted(days, TODAY)["acme"].use_cases == {"review": 1}


async def test_the_first_use_is_told_whatever_is_folded(used, event):
    first = {"merge": TODAY - timedelta(30), "comment": TODAY - timedelta(3), "edit": TODAY - timedelta(1)}
    assert await used.tally.features.first_uses("acme") == first
    await used.counting.compact(everything=True)
    await used.count(event("acme", "ann", "2024-02-29", "edit"))
    assert await used.tally.features.first_uses("acme") == first | {"edit": date(2024, 2, 29)}
    assert await used.tally.features.first_uses("acme", ["comment", "unknown"]) == {"comment": first["comment"]}
    assert await used.tally.features.first_uses("unknown") == {}


async def newest(metrics, day):
    async with metrics.engine.connect() as connection:
        return (await snapshots.latest(connection, worklist.account("acme"), day))[day].body


async def test_a_snapshot_tells_use_cases_and_first_use(used):
    await used.publish()
    body = await newest(used, TODAY - timedelta(3))
    assert body["features_first_used"] == ["comment"]
    assert [one["use_case"] for one in body["use_cases"]] == list(used.config.use_cases.names)
    (review,) = (one for one in body["use_cases"] if one["use_case"] == "source-control")
    assert review == {
        "use_case": "source-control",
        "mau": 2,
        "saturation": {"value": 1.0, "num": 2, "den": 2, "reason": None},
    }  # fmt: skip
    assert (body["breadth"]["used"], body["breadth"]["of"]) == (1, len(used.config.use_cases.names))
    assert (await newest(used, TODAY - timedelta(2)))["features_first_used"] == []


async def test_a_snapshot_has_room_for_whatever_a_producer_names(metrics, event):
    """1,000 new features on one day, each of 200 characters of four bytes: the names alone would be 800 KB."""
    names = [f"{number:04}" + "\U0001f600" * 196 for number in range(1_000)]
    await metrics.count(*(event("acme", "ann", f"{TODAY - timedelta(2)}", name) for name in names))
    await metrics.publish()
    body = await newest(metrics, TODAY - timedelta(2))
    assert body["features_first_used"] == names[:10]
    assert body["more_features"] == 990
    assert len(json.dumps(body, ensure_ascii=False).encode()) < 32 * 1024


async def test_the_day_that_closes_tells_the_same_without_the_archive(used, event, clock):
    await used.publish()
    await used.count(event("acme", "dan", str(TODAY), "export"), event("acme", "dan", "2024-01-01", "import"))
    await used.count(event("acme", "dan", str(TODAY), "import"))
    clock.forward(days=1)
    await used.load()
    await used.publisher.close_days()
    body = await newest(used, TODAY)
    assert (body["features_first_used"], body["kpis"]["revision"]) == (["export"], 1)


async def test_an_earlier_use_moves_the_first_one(used, event):
    await used.publish()
    await used.count(event("acme", "cid", f"{TODAY - timedelta(4)}", "comment"))
    await used.publish()
    earlier, later = await newest(used, TODAY - timedelta(4)), await newest(used, TODAY - timedelta(3))
    assert (earlier["features_first_used"], later["features_first_used"]) == (["comment"], [])
    assert (earlier["kpis"]["revision"], later["kpis"]["revision"]) == (2, 2)


async def test_a_late_event_of_somebody_active_changes_the_use_case_alone(used, event):
    await used.publish()
    day = TODAY - timedelta(1)
    before = await newest(used, day)
    await used.count(event("acme", "cid", str(day), "merge"))
    await used.publish()
    after = await newest(used, day)
    assert after["kpis"]["revision"] == before["kpis"]["revision"] + 1
    assert after["kpis"]["mau"] == before["kpis"]["mau"]
    assert [one["use_cases"][0]["mau"] for one in (before, after)] == [2, 3]
