"""Erased people are recognised by a digest alone: in usage, in facts, and in messages of any kind."""

import base64
import json
from datetime import UTC, datetime

import pytest

from uptake.messages.usage import UsageBatch
from uptake_metrics.batches import ARRIVES_NOW, decoded
from uptake_metrics.suppression import NOBODY, Erased, Suppression, Through, digest, mentions, tombstone, without

KEY = b"k" * 32
GONE = tombstone(b"\1" * 16)
AT = datetime(2026, 5, 1, tzinfo=UTC)


def suppression(until=10):
    return Suppression(KEY, {("acme", digest(KEY, "acme", "ann")): Erased(GONE, until)})


@pytest.fixture
def batch(batches, event):
    def batch(*events, sequence=ARRIVES_NOW):
        ((_, data),) = batches(events)
        one = decoded(data, AT)
        one.sequence = sequence
        return one

    return batch


def test_a_person_is_one_of_an_account():
    found = suppression()
    assert found.find("acme", "ann") == Erased(GONE, 10)
    for account, user in [("acme", "bob"), ("other", "ann"), ("acme", "Ann"), ("", "ann"), ("acmeann", "")]:
        assert found.find(account, user) is None
    assert (found.name("acme", "ann"), found.name("acme", "bob"), found.name("other", "ann")) == (GONE, "bob", "ann")


def test_the_digest_is_of_no_use_without_the_key():
    assert digest(KEY, "acme", "ann") != digest(b"x" * 32, "acme", "ann")
    assert digest(KEY, "a", "b\0c") != digest(KEY, "ab", "c")


@pytest.mark.parametrize(
    ("sequence", "users", "actors"),
    [
        (10, [GONE, "bob"], None),
        (11, [NOBODY, "bob"], ["erased", "human"]),
        (ARRIVES_NOW, [NOBODY, "bob"], ["erased", "human"]),
    ],
)
def test_what_was_counted_is_the_tombstones_and_what_comes_later_is_nobodys(batch, event, sequence, users, actors):
    raw = batch(event("acme", "ann", AT), event("acme", "bob", AT), sequence=sequence)
    kept = suppression().applied(raw)
    assert (kept.users, kept.actors) == (users, actors)
    assert (kept.features, kept.accounts, kept.instants.tolist()) == (raw.features, raw.accounts, raw.instants.tolist())
    assert suppression().applied(kept) is kept


def test_the_actors_of_the_others_stay(batch, event):
    raw = batch(event("acme", "ann", AT), event("acme", "bot", AT, actor="system"))
    assert suppression().applied(raw).actors == ["erased", "system"]


@pytest.mark.parametrize("who", [("acme", "bob"), ("other", "ann")])
def test_a_batch_that_names_nobody_of_them_is_left_alone(batch, event, who):
    raw = batch(event(*who, AT))
    assert suppression().applied(raw) is raw
    assert Suppression().applied(raw) is raw


def message(**fields):
    columns = {"accounts": ["acme", "", "other"], "users": ["ann", "ann", "ann"], "features": ["f"] * 3}
    columns |= {"instants": [1] * 3, "instances": [None, "box", None]}
    return UsageBatch.model_validate({"id": "b", "source": "demo", "received_at": 5, **columns, **fields})


def test_a_rewritten_message_says_what_it_stands_for():
    new = suppression().rewritten(message(), 7, {}, ())
    assert (new.users, new.rewrite_of) == ([GONE, "ann", "ann"], 7)
    again = suppression(until=3).rewritten(message(rewrite_of=2), 9, {}, ())
    assert (again.users[0], again.rewrite_of) == (GONE, 2)
    assert suppression(until=3).rewritten(message(), 9, {}, ()).actors == ["erased", "human", "human"]


@pytest.mark.parametrize("until", [3, 10])
@pytest.mark.parametrize(("counted", "user", "actors"), [(True, GONE, "human"), (False, NOBODY, "erased")])
def test_what_came_through_an_installation_is_the_tombstones_if_it_was_counted_whenever_it_came(
    until, counted, user, actors
):
    owners = {"box": "acme"}
    through = suppression(until).through(message(), owners)
    assert through == {1: Through("box", GONE, "f", 1)}
    new = suppression(until).rewritten(message(), 7, owners, set(through.values()) if counted else set())
    assert (new.users[1], (new.actors or ["human"] * 3)[1]) == (user, actors)
    assert suppression(until).through(message(), {}) == {}


def test_a_digest_is_computed_once_of_whoever_comes_again_and_again(monkeypatch):
    digests = []
    monkeypatch.setattr("uptake_metrics.suppression.digest", lambda *person: digests.append(person) or b"")
    found = Suppression(KEY, {("acme", b"x"): Erased(GONE, 1)})
    for _ in range(3):
        found.find("acme", "bob")
    assert digests == [(KEY, "acme", "bob")]


def test_a_fact_folds_to_the_same_without_the_id():
    body = {"source": "crm", "event": {"id": "7", "type": "user.linked", "user": "ann", "other": "bob"}}
    assert without(body, "ann", GONE)["event"] == {"id": "7", "type": "user.linked", "user": GONE, "other": "bob"}
    assert without(body, "bob", GONE)["event"]["other"] == GONE
    named = without({"event": {"id": "delete-ann", "user": "ann"}}, "ann", GONE)
    assert "ann" not in json.dumps(named)


def refused(body, **fields):
    return json.dumps({"source": "crm", "reason": "r", "detail": "d", "body": body, **fields}).encode()


EVENT = json.dumps({"account": "acme", "user": "ann"})


@pytest.mark.parametrize(
    ("data", "speaks"),
    [
        (EVENT.encode(), True),
        (json.dumps([{"account": "acme", "user": "bob"}, {"account": "acme", "user": "ann"}]).encode(), True),
        (b'{"account": "other", "user": "ann"}', False),
        (b'{"account": "acme", "user": "anne"}', False),
        (b'{"instance": "box", "user": "ann"}', True),
        (b'{"account": "acme", "user": "bob", "other": "ann"}', True),
        (b'{"accounts": ["acme"], "users": ["ann"]}', True),
        (b'{"account": "acme", "user": "ann', False),
        (b'{"account": "acme", "user": "ann"', True),
        (b'{"account": "other", "user": "ann"', False),
        (refused(EVENT), True),
        (refused(EVENT.replace("acme", "other")), False),
        (refused(base64.b64encode(EVENT.encode()).decode(), body_is_base64=True), True),
        (refused("?", body_is_base64=True), False),
        (b"\xff\xfe", False),
    ],
)
def test_a_message_speaks_of_a_person_when_it_holds_the_id_and_the_account(data, speaks):
    assert mentions(data, "acme", "ann") is speaks


@pytest.mark.parametrize(
    ("data", "known"),
    [
        (EVENT.encode(), True),
        (refused(EVENT), True),
        (
            refused(
                base64.b64encode(b'{"accounts": ["x", "acme"], "users": ["y", "ann"]}').decode(), body_is_base64=True
            ),
            True,
        ),
        (b'{"account": "acme", "user": "bob", "other": "ann"}', True),
        (b'{"account": "acme", "user": "bob", "feature": "ann"}', False),
        (b'{"account": "other", "user": "ann"}', False),
        (b'{"account": "acme", "user": "ann"', False),
    ],
)
def test_a_later_message_is_recognised_without_the_id(data, known):
    assert suppression().recognised(data) is known
    assert not Suppression().recognised(data)
