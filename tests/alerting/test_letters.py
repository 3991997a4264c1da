"""Notices that come due together for one person in one channel go as one letter: real PostgreSQL, real fakes."""

import email
import email.policy
import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tests.alerting.fakes.rows import Rows
from tests.alerting.fakes.smtp import FakeSmtp
from uptake_alerting import claims, dispatch_store
from uptake_alerting.cases import Plan, Wanted
from uptake_alerting.outbox import delivery_id
from uptake_alerting.patience import Next
from uptake_alerting.tables import delivery
from uptake_alerting.whom import Recipient
from uptake_alerting.wording import values_of_account

NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)
LATER = NOW + timedelta(seconds=61)


@pytest.fixture
def rows(engine, account_day, routes):
    return Rows(engine, NOW, values_of_account(account_day(date(2026, 5, 7))), routes)


@pytest.fixture
async def post_office():
    async with FakeSmtp(offers_starttls=False).serve() as fake:
        yield fake


@pytest.fixture
def routes(routes_file, receiver, post_office):
    mail = f"host: 127.0.0.1, port: {post_office.port}, sender: a@b.example, to: [c@d.example], tls: none"
    return routes_file(
        f"""
        channels:
          mail: {{type: email, {mail}, allow_private: true}}
          team: {{type: slack, url: "{receiver.url}/team", allow_private: true}}
          ops: {{type: webhook, url: "{receiver.url}/ops", allow_private: true}}
        """
    )


@pytest.fixture
def mails(post_office):
    """What arrived, as whoever reads it sees it."""
    return lambda: [email.message_from_bytes(one.data, policy=email.policy.default) for one in post_office.mails]


@pytest.fixture
def drain(courier_of, routes):
    """How many letters were sent."""
    courier, _ = courier_of(routes)

    async def run(now=NOW):
        count = 0
        while await courier.deliver_one(now):
            count += 1
        return count

    return run


class Crash(Exception):
    """Stands for a process that dies between sending and recording."""


@pytest.fixture
def crash_after_sending(courier_of, routes, monkeypatch):
    async def run():
        async def crash(*_args):
            raise Crash

        with monkeypatch.context() as patch:
            patch.setattr(claims, "finish", crash)
            with pytest.raises(Crash):
                await courier_of(routes)[0].deliver_one(NOW)

    return run


def words(mail):
    return mail.get_body(("plain",)).get_content()


async def test_one_mail_says_in_full_what_each_would_have_said(rows, drain, mails):
    await rows.notice("a", "acme", "mail", "email")
    await rows.notice("g", "globex & <sons>", "mail", "email", kind="escalation")
    assert await drain() == 1
    (mail,) = mails()
    assert mail["Subject"] == "2 alerts: 1 warning, 1 escalated (warning)"
    assert words(mail).count("Next step: Ask.") == 2
    for line in ("Warning: acme is low", "Escalated (Warning): globex & <sons> is low"):
        assert line in words(mail).splitlines()
    html = mail.get_body(("html",)).get_content()
    assert "<h3>Escalated (Warning): globex &amp; &lt;sons&gt; is low</h3>" in html
    found = await rows.deliveries()
    assert {row.status for row in found.values()} == {"delivered"}
    assert found["a"].reference == found["g"].reference == {"message_id": mail["Message-ID"], "to": ["c@d.example"]}


async def test_the_end_of_each_answers_the_mail_in_which_it_began(rows, drain, mails):
    for name in ("acme", "globex", "initech"):
        await rows.notice(name, name, "mail", "email")
    await drain()
    for name in ("acme", "globex"):
        await rows.end(name)
        await rows.notice(f"{name} ends", name, "mail", "email", kind="terminal")
    await rows.notice("late", "umbrella", "mail", "email")
    assert await drain() == 2
    began, *others = mails()
    answers = {mail["In-Reply-To"]: mail["Subject"] for mail in others}
    assert answers == {began["Message-ID"]: "2 alerts: 2 warning", None: "Warning: umbrella is low"}


async def test_after_a_crash_the_copy_is_known_as_one_and_takes_nobody_else_along(
    rows, drain, mails, crash_after_sending
):
    await rows.notice("a", "acme", "mail", "email")
    await rows.notice("g", "globex", "mail", "email")
    await crash_after_sending()
    await rows.notice("new", "initech", "mail", "email")
    assert await drain(LATER) == 2
    copies = Counter(mail["Message-ID"] for mail in mails())
    assert sorted(copies.values()) == [1, 2]
    assert {row.attempts for name, row in (await rows.deliveries()).items() if name != "new"} == {2}


@pytest.mark.parametrize("over", ["acme", "globex"])
async def test_what_ends_while_its_letter_waits_is_left_out_of_it(rows, drain, mails, post_office, over):
    await rows.notice("acme", "acme", "mail", "email")
    await rows.notice("globex", "globex", "mail", "email")
    post_office.says = {"MAIL": "451 later"}
    assert await drain() == 1
    post_office.says = {}
    await rows.end(over)
    assert await drain(NOW + timedelta(minutes=20)) == 1
    (mail,) = mails()
    (left,) = {"acme", "globex"} - {over}
    assert mail["Subject"] == f"Warning: {left} is low"
    found = await rows.deliveries()
    assert (found[over].status, found[over].reason) == ("skipped", "episode_ended")
    assert found[left].status == "delivered"


async def test_what_somebody_else_works_on_holds_up_its_letter_whole(rows, engine, drain, mails, crash_after_sending):
    """Half of it would have the Message-ID of all, and readers would drop the other half as a copy."""
    await rows.notice("a", "acme", "mail", "email")
    await rows.notice("g", "globex", "mail", "email")
    await crash_after_sending()
    for name in ("a", "g"):
        async with engine.begin() as connection:
            await connection.execute(select(delivery).where(delivery.c.id == name).with_for_update())
            assert await drain(LATER) == 0
    assert await drain(LATER) == 1
    assert len(mails()) == 2


async def test_a_letter_that_is_held_up_holds_up_no_other(rows, engine, drain, receiver, crash_after_sending):
    await rows.notice("a", "acme", "mail", "email")
    await rows.notice("g", "globex", "mail", "email")
    await crash_after_sending()
    await rows.notice("o", "initech", "ops", "webhook", due_at=LATER)
    async with engine.begin() as connection:
        await connection.execute(select(delivery).where(delivery.c.id == "g").with_for_update())
        assert await drain(LATER) == 1
    assert receiver.keys == ["o"]


async def test_threads_that_come_due_in_turn_still_go_together(rows, drain, mails):
    """20 accounts began in two mails; all end at once, in an order that alternates between the two."""
    for number in range(20):
        await rows.notice(f"n{number:02}", f"account-{number:02}", "mail", "email")
    assert await drain() == 2
    for number in range(20):
        place = (number % 10) * 2 + number // 10
        await rows.notice(f"t{place:02}", f"account-{number:02}", "mail", "email", kind="terminal")
    assert await drain() == 2
    assert sorted(mail["Subject"].split(" ")[0] for mail in mails()) == ["10"] * 4


async def test_a_slack_webhook_gets_one_text_in_which_no_customer_is_markup(rows, drain, receiver):
    await rows.notice("a", "acme", "team", "slack")
    await rows.notice("g", "<!channel>", "team", "slack")
    assert await drain() == 1
    (got,) = receiver.got
    text = json.loads(got.body)["text"]
    assert text.startswith("*2 alerts: 2 warning*\n\n*Warning: ")
    assert "&lt;!channel&gt; is low" in text
    assert "acme is low" in text


@pytest.mark.parametrize(
    "other",
    [
        {"person": "ce-2"},
        {"destination": "elsewhere"},
        {"kind": "digest", "episode": None, "event": None, "content": {"headline": "A week", "lines": []}},
        {"due_at": NOW + timedelta(seconds=1)},
    ],
)
async def test_what_is_for_somebody_else_or_later_goes_alone(rows, drain, engine, other):
    await rows.notice("a", "acme", "mail", "email")
    await rows.notice("b", "globex", "mail", "email", **other)
    async with engine.begin() as connection:
        assert len(await claims.claim(connection, NOW)) == 1


async def test_who_tells_alerts_apart_by_keys_gets_each_alone(rows, drain, receiver):
    for name in ("acme", "globex"):
        await rows.notice(name, name, "ops", "webhook")
    assert await drain() == 2
    assert sorted(receiver.keys) == ["acme", "globex"]


async def test_a_letter_has_ten_at_most(rows, drain, mails):
    for number in range(23):
        await rows.notice(f"n{number}", f"account-{number}", "mail", "email")
    assert await drain() == 3
    assert sorted(mail["Subject"].split(" ")[0] for mail in mails()) == ["10", "10", "3"]
    assert len({mail["Message-ID"] for mail in mails()}) == 3


async def test_a_fresh_notice_beside_an_old_one_is_tried_as_long_as_it_would_be_alone(rows, drain, receiver):
    """The end of an alert is tried for a week, hours apart; each time it is older than what is tried for a day."""
    await rows.notice("old end", "acme", "team", "slack", kind="terminal", created_at=NOW - timedelta(hours=31))
    await rows.notice("new", "globex", "team", "slack")
    receiver.answers = [503]
    assert await drain() == 1
    assert {row.status for row in (await rows.deliveries()).values()} == {"pending"}


async def test_what_may_have_arrived_alone_is_known_as_a_copy_after_a_half_written_file(
    rows, drain, engine, mails, crash_after_sending, routes
):
    to = Recipient(None, "mail", "email", str(routes.current().channels["mail"].destination()), "again")
    await rows.notice(delivery_id("e-acme", "trigger", "mail", to.destination), "acme", "mail", "email")
    await crash_after_sending()
    async with engine.begin() as connection:
        await connection.execute(update(delivery).values(status="skipped", reason="channel_removed", ambiguous=True))
        await dispatch_store.write_wanted(connection, {"e-acme": Plan((Wanted("trigger", 0, to, "now", NOW),))}, NOW)
    await rows.notice("g", "globex", "mail", "email")
    assert await drain(LATER) == 2
    assert sorted(Counter(mail["Message-ID"] for mail in mails()).values()) == [1, 2]


async def test_one_without_words_stops_no_other(rows, drain, mails):
    await rows.notice("a", "acme", "mail", "email")
    await rows.notice("broken", "globex", "mail", "email", event=None, content=None)
    await drain()
    assert [mail["Subject"] for mail in mails()] == ["Warning: acme is low"]
    assert (await rows.deliveries())["broken"].reason == "broken"


async def test_a_lost_lease_records_nothing_for_any_of_them(rows, engine):
    for name in ("acme", "globex"):
        await rows.notice(name, name, "mail", "email")
    async with engine.begin() as connection:
        slow = await claims.claim(connection, NOW)
    async with engine.begin() as connection:
        again = await claims.claim(connection, LATER)
    async with engine.begin() as connection:
        for one in slow:
            await claims.finish(connection, one, Next("failed", "http_4xx"), LATER)
    assert {one.id for one in slow} == {one.id for one in again} == {"acme", "globex"}
    assert {row.status for row in (await rows.deliveries()).values()} == {"sending"}
