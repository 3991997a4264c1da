"""Features, use cases and months over HTTP: real counts, real links, the people behind every number."""

import pytest

DAYS = {"from": "2026-07", "to": "2026-08"}
TAXONOMY = """
use_cases:
  review: {title: Code review, features: [merge, comment]}
  quality: {features: ["test*", comment]}
"""


@pytest.fixture
async def used(metrics_of, tmp_path, event, fact):
    """Ann merges and comments, Bob tests, Cid does neither; a bot and a sign-in are no activity."""
    (tmp_path / "use_cases.yml").write_text(TAXONOMY)
    metrics = metrics_of(tmp_path)
    await metrics.load()
    await metrics.count(
        event("acme", "ann", "2026-03-05", "merge"),
        event("acme", "ann", "2026-08-24", "merge"),
        event("acme", "ann", "2026-08-25", "comment"),
        event("acme", "bob", "2026-08-20", "test.unit"),
        event("acme", "cid", "2026-07-31", "export"),
        event("acme", "bot", "2026-08-20", "merge", actor="system"),
        event("acme", "cid", "2026-08-20", "sign_in"),
        event("acme", "dev", "2026-08-20", "merge", environment="staging"),
        event("acme", "eve", "2026-08-20", "merge", environment="trial"),
        event("b", "ann", "2026-08-24", "comment"),
        event("silent", "ann", "2026-03-01", "comment"),
    )
    await metrics.learn(fact("account.updated", account="unheard", time_zone="UTC"))
    await metrics.board.refresh()
    return metrics


def by_name(lines):
    return {line["name"]: line for line in lines}


async def test_the_features_of_an_account(used, asking):
    async with asking(used) as ask:
        status, found = await ask("/api/v1/accounts/acme/features")
    assert (status, found["as_of"], found["mau"], found["reason"], found["partial"]) == (
        200,
        "2026-08-25",
        3,
        None,
        True,
    )
    assert [line["name"] for line in found["features"]] == ["comment", "export", "merge", "test.unit"]
    merge = by_name(found["features"])["merge"]
    assert (merge["dau"], merge["wau"], merge["mau"], merge["first_used"]) == (0, 1, 1, "2026-03-05")
    assert merge["saturation"] == {"value": 0.3333, "num": 1, "den": 3, "reason": None}
    use_cases = by_name(found["use_cases"])
    assert [(one["title"], one["mau"], one["first_used"]) for one in use_cases.values()] == [
        ("Code review", 1, "2026-03-05"),
        (None, 2, "2026-08-20"),
    ]
    assert (found["breadth"]["used"], found["breadth"]["of"]) == (2, 2)
    assert found["breadth"]["per_user"] == {"value": 1.0, "num": 3, "den": 3, "reason": None}
    assert found["not_counted"] == {"actor": 1, "environment": 1, "feature": 1}


@pytest.mark.parametrize("as_of", ["2026-08-25", "2026-03-20"])
async def test_behind_every_use_case_are_exactly_its_people(used, asking, as_of):
    async with asking(used) as ask:
        _, found = await ask("/api/v1/accounts/acme/features", as_of=as_of)
        for line in found["use_cases"]:
            for window in ("dau", "wau", "mau"):
                query = {"as_of": as_of, "window": window, "use_case": line["name"]}
                _, people = await ask("/api/v1/accounts/acme/users", **query)
                assert (people["count"], len(people["users"])) == (line[window], line[window])


async def test_trial_is_counted_apart(used, asking):
    async with asking(used) as ask:
        _, found = await ask("/api/v1/accounts/acme/features", environment="trial")
        people = [
            (await ask("/api/v1/accounts/acme/users", environment="trial", **of))[1]["users"]
            for of in ({}, {"feature": "merge"}, {"feature": "export"}, {"use_case": "review"}, {"use_case": "quality"})
        ]
    assert (found["mau"], [(one["name"], one["mau"]) for one in found["features"]]) == (1, [("merge", 1)])
    assert people == [["eve"], ["eve"], [], ["eve"], []]


async def test_whether_a_trial_is_known_does_not_depend_on_production(used, asking, fact):
    """By tier pings and their number, and by nobody in production at all."""
    await used.learn(
        fact("account.updated", account="acme", telemetry="pings"),
        fact("usage.ping", "2026-08-23T09:00:00Z", account="acme", day="2026-08-23", mau=50),
        fact("account.updated", account="b", telemetry="none"),
    )
    async with asking(used) as ask:
        _, production = await ask("/api/v1/accounts/acme/features", as_of="2026-08-23")
        trial = {
            name: (await ask(f"/api/v1/accounts/{name}/features", environment="trial", **day))[1]
            for name, day in (("acme", {"as_of": "2026-08-23"}), ("b", {}), ("unheard", {}))
        }
        _, before = await ask("/api/v1/accounts/b/features", environment="trial", as_of="2026-08-20")
    assert (production["mau"], production["reason"]) == (None, "no_feature_counts")
    assert [(one["mau"], one["reason"]) for one in trial.values()] == [
        (1, None),
        (0, "no_active_users"),
        (None, "no_telemetry"),
    ]
    assert trial["acme"]["breadth"]["per_user"]["value"] is not None
    assert (before["mau"], before["reason"]) == (None, "no_telemetry")


async def test_linked_ids_are_one_person_in_every_number(used, asking, fact):
    await used.learn(fact("user.linked", account="acme", user="ann", other="bob"))
    async with asking(used) as ask:
        _, found = await ask("/api/v1/accounts/acme/features")
        _, past = await ask("/api/v1/features", as_of="2026-08-25")
    assert (found["mau"], by_name(found["use_cases"])["quality"]["mau"]) == (2, 1)
    assert by_name(past)["quality"]["users"] == 2  # ann of acme and ann of b


async def test_a_past_day_knows_nothing_of_later_use(used, asking):
    async with asking(used) as ask:
        _, found = await ask("/api/v1/accounts/acme/features", as_of="2026-03-20")
    assert [(one["name"], one["mau"]) for one in found["features"]] == [("merge", 1)]
    assert by_name(found["use_cases"])["quality"]["first_used"] is None


@pytest.mark.parametrize(
    ("account", "mau", "reason"), [("silent", 0, "no_active_users"), ("unheard", None, "no_telemetry")]
)
async def test_an_unknown_share_has_a_reason(used, asking, account, mau, reason):
    async with asking(used) as ask:
        _, found = await ask(f"/api/v1/accounts/{account}/features")
    assert (found["mau"], found["reason"], found["breadth"]["per_user"]["reason"]) == (mau, reason, reason)
    assert {line["saturation"]["reason"] for line in found["use_cases"]} == {reason}


async def test_over_all_accounts(used, asking):
    async with asking(used) as ask:
        _, found = await ask("/api/v1/features")
    lines = by_name(found)
    assert [line["name"] for line in found[:2]] == ["review", "quality"]
    review = lines["review"]
    assert (review["accounts"], review["users"], review["known"], review["unknown"]) == (2, 2, 2, 2)
    assert review["mean_saturation"] == 0.6667  # (1/3 + 1/1) / 2
    assert (lines["comment"]["users"], lines["test.unit"]["accounts"]) == (2, 1)


async def test_nothing_known_of_any_account(metrics, asking, fact):
    await metrics.learn(fact("account.updated", account="unheard", time_zone="UTC"))
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        _, found = await ask("/api/v1/features")
    assert {(line["mean_saturation"], line["reason"]) for line in found} == {(None, "no_known_accounts")}


async def test_calendar_months(used, asking):
    async with asking(used) as ask:
        _, found = await ask("/api/v1/accounts/acme/calendar", **DAYS)
        _, unheard = await ask("/api/v1/accounts/unheard/calendar", **DAYS)
        _, year = await ask("/api/v1/accounts/acme/calendar")
    assert [(one["month"], one["mau_calendar"], one["partial"]) for one in found] == [
        ("2026-07", 1, False),
        ("2026-08", 2, True),
    ]
    assert [(one["mau_calendar"], one["reason"]) for one in unheard] == [(None, "no_telemetry")] * 2
    assert (len(year), year[-1]["month"]) == (12, "2026-08")


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("/api/v1/accounts/acme/features", "kind,name,title,dau,wau,mau,saturation.value"),
        ("/api/v1/features", "kind,name,title,accounts,users,mean_saturation"),
        ("/api/v1/accounts/acme/calendar", "account,month,first_day,last_day,partial,mau_calendar,reason"),
    ],
)
async def test_every_list_is_a_table_too(used, asking, path, header):
    async with asking(used) as ask:
        status, text = await ask(path, format="csv")
    assert (status, text.startswith(header)) == (200, True)
    assert text.count("\r\n") > 2


async def test_days_and_accounts_that_are_not_there(used, asking):
    async with asking(used) as ask:
        assert (await ask("/api/v1/accounts/nobody/features"))[0] == 404
        assert (await ask("/api/v1/accounts/acme/features", as_of="2030-01-01"))[0] == 400
        assert (await ask("/api/v1/accounts/acme/calendar", **{"from": "2026-08", "to": "2026-07"}))[0] == 400
        status, found = await ask("/api/v1/accounts/acme/users", use_case="unknown")
        both = await ask("/api/v1/accounts/acme/users", use_case="review", feature="merge")
    assert (status, found["error"]) == (400, "unknown_use_case")
    assert (both[0], both[1]["error"]) == (400, "invalid_query")


async def test_another_taxonomy_is_another_look_at_the_same_counts(used, asking, tmp_path):
    (tmp_path / "use_cases.yml").write_text("use_cases: {everything: {features: ['*']}}")
    async with asking(used) as ask:
        _, found = await ask("/api/v1/accounts/acme/features")
    assert [(one["name"], one["mau"]) for one in found["use_cases"]] == [("everything", found["mau"])]
