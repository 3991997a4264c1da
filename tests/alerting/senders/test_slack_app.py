"""Slack's Web API against a workspace of our own that misbehaves: one message per alert, whatever happens."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.alerting.fakes.slack import TOKEN, FakeSlack
from uptake_alerting.patience import Sent
from uptake_alerting.wording import Notice

CHANNEL, PERSON, DIRECT = "C0000001", "U0000001", "D0000001"
ACK, SNOOZE, OPEN = "ack", "snooze", "open_account"


@pytest.fixture
async def slack():
    async with FakeSlack().serve() as fake:
        yield fake


@pytest.fixture
def tell(deliver, slack, now):
    """Through a channel that many read; `where` null: to the person."""

    async def run(letter, where=CHANNEL, token=TOKEN, now=now):
        to = f", channel: {where}" if where else ""
        channel = f"type: slack_app, token: {token}, api: '{slack.api}', allow_private: true{to}"
        return await deliver(channel, letter, now)

    return run


def buttons(post):
    return [e["action_id"] for block in post["blocks"] if block["type"] == "actions" for e in block["elements"]]


async def test_a_trigger_is_one_message_with_buttons_and_gives_its_place_back(tell, slack, letter, alert):
    url = "https://uptake.example.com/accounts/acme"
    sent = await tell(letter(data=alert(links={"account": url})))
    (post,) = slack.posts[CHANNEL]
    assert sent == Sent("delivered", "ok", reference={"channel": CHANNEL, "ts": post["ts"]})
    assert buttons(post) == [ACK, SNOOZE, OPEN]
    assert [e["value"] for e in post["blocks"][1]["elements"]] == ["e1"] * 3
    assert post["blocks"][1]["elements"][2]["url"] == url
    assert post["metadata"]["event_payload"] == {"delivery": "d1"}
    assert post["text"] == "*Warning: &lt;b&gt; is low*\nÜ &amp; co"
    assert not post["unfurl_links"]
    assert "thread_ts" not in post


@pytest.mark.parametrize("url", [None, "javascript:alert(1)", "https://" + "x" * 3000])
async def test_without_a_web_address_there_is_no_button_to_open_the_account(tell, slack, letter, alert, url):
    assert (await tell(letter(data=alert(links={"account": url} if url else {})))).outcome == "delivered"
    assert buttons(slack.posts[CHANNEL][0]) == [ACK, SNOOZE]


async def test_an_update_and_the_end_stand_in_the_thread_and_the_head_says_what_is_true_now(tell, slack, letter):
    thread = (await tell(letter())).reference
    worse, over = Notice("Critical: worse", ()), Notice("Resolved: back", ())
    await tell(letter(delivery="d2", kind="update", sequence=1, thread=thread, notice=worse))
    assert (slack.posts[CHANNEL][0]["text"], buttons(slack.posts[CHANNEL][0])) == ("*Critical: worse*", [ACK, SNOOZE])
    await tell(letter(delivery="d3", kind="terminal", thread=thread, notice=over))
    head, update, end = slack.posts[CHANNEL]
    assert (head["text"], buttons(head)) == ("*Resolved: back*", [])
    assert (update["text"], update["thread_ts"]) == ("*Critical: worse*", head["ts"])
    assert (end["text"], end["thread_ts"], buttons(end)) == ("*Resolved: back*", head["ts"], [])
    assert head["metadata"]["event_payload"] == {"delivery": "d1"}


async def test_a_reminder_shows_in_the_channel_too_and_leaves_the_head(tell, slack, letter):
    thread = (await tell(letter())).reference
    await tell(letter(delivery="d2", kind="reminder", sequence=1, thread=thread, notice=Notice("Still low", ())))
    head, reminder = slack.posts[CHANNEL]
    assert head["text"].startswith("*Warning")
    assert (reminder["thread_ts"], reminder["reply_broadcast"]) == (head["ts"], True)


async def test_a_person_gets_a_direct_message_and_its_end_even_after_leaving_the_roster(tell, slack, letter, engineer):
    thread = (await tell(letter(person=engineer()), where=None)).reference
    assert thread["channel"] == DIRECT
    assert (await tell(letter(delivery="d2", kind="terminal", thread=thread), where=None)).outcome == "delivered"
    assert len(slack.posts[DIRECT]) == 2
    assert "<@" not in slack.posts[DIRECT][0]["text"]


async def test_where_many_read_the_person_is_called_by_name(tell, slack, letter, engineer):
    await tell(letter(person=engineer()))
    assert slack.posts[CHANNEL][0]["text"].startswith("<@U0000001> *Warning")
    await tell(letter(delivery="d2", person=engineer(slack="!channel")))
    assert slack.posts[CHANNEL][1]["text"].startswith("*Warning")


async def test_nobody_to_write_to_fails_at_once(tell, slack, letter, engineer):
    assert await tell(letter(person=engineer(slack=None)), where=None) == Sent("failed", "no_address")
    assert slack.asked == []


async def test_a_customer_cannot_mention_or_link(tell, slack, letter):
    said = Notice("<!channel> <@U1> <https://evil.example|x> & *", ("<!here>" * 2000,))
    await tell(letter(notice=said))
    (post,) = slack.posts[CHANNEL]
    assert "<" not in post["text"] + json.dumps(post["blocks"])
    assert len(post["blocks"][0]["text"]["text"]) <= 3000


@pytest.mark.parametrize("where", [CHANNEL, None])
@pytest.mark.parametrize("fault", ["lost", "drop"])
async def test_an_attempt_of_which_nobody_knows_is_looked_for_before_it_is_made_again(
    tell, slack, letter, engineer, hurried, fault, where
):
    slack.faults = [fault]
    first = await tell(letter(person=engineer()), where)
    assert (first.outcome, first.ambiguous) == ("retry", True)
    sent = await tell(letter(person=engineer(), ambiguous=True, attempts=2), where)
    assert sent.outcome == "delivered"
    (post,) = slack.posts[CHANNEL if where else DIRECT]
    assert sent.reference == {"channel": CHANNEL if where else DIRECT, "ts": post["ts"]}


async def test_a_crash_between_send_and_record_makes_no_second_message_in_the_thread(tell, slack, letter):
    thread = (await tell(letter())).reference
    end = letter(delivery="d2", kind="terminal", thread=thread)
    first = await tell(end)
    again = await tell(replace(end, ambiguous=True, attempts=2))
    assert again == first
    assert len(slack.posts[CHANNEL]) == 2


async def test_it_is_found_behind_many_newer_messages(tell, slack, letter):
    first = await tell(letter())
    for i in range(250):
        slack.posts[CHANNEL].append({"ts": f"{slack.clock_s + 10 + i}.000200", "text": "chatter"})
    assert await tell(letter(ambiguous=True)) == first
    assert slack.methods.count("conversations.history") == 3


async def test_where_it_may_not_look_it_sends_again_rather_than_never(tell, slack, letter):
    slack.scopes.remove("history")
    assert (await tell(letter(ambiguous=True))).outcome == "delivered"
    assert len(slack.posts[CHANNEL]) == 1


async def test_while_it_cannot_look_it_waits(tell, slack, letter):
    slack.errors = ["internal_error"]
    assert await tell(letter(ambiguous=True)) == Sent("retry", "slack_internal_error", ambiguous=True)
    slack.faults, slack.fault_headers = [429], {"Retry-After": "7"}
    assert await tell(letter(ambiguous=True)) == Sent("retry", "http_429", 7.0, ambiguous=True)
    assert slack.posts[CHANNEL] == []


@pytest.mark.parametrize("arrived", [True, False])
async def test_of_an_ended_episode_it_only_finds_out_whether_the_trigger_arrived(tell, slack, letter, arrived):
    if arrived:
        await tell(letter())
    sent = await tell(letter(ambiguous=True, ended=True))
    assert (sent.outcome, sent.reason) == (("delivered", "ok") if arrived else ("skipped", "episode_ended"))
    assert len(slack.posts[CHANNEL]) == int(arrived)


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        ("ratelimited", Sent("retry", "http_429", 30.0)),
        ("fatal_error", Sent("retry", "slack_fatal_error", ambiguous=True)),
        ("service_unavailable", Sent("retry", "slack_service_unavailable", ambiguous=True)),
        ("channel_not_found", Sent("failed", "slack_channel_not_found")),
        ("is_archived", Sent("failed", "slack_is_archived")),
        ("token_revoked", Sent("failed", "slack_token_revoked")),
        ("something_new", Sent("failed", "slack_error")),
    ],
)
async def test_what_not_ok_means(tell, slack, letter, error, sent):
    slack.errors, slack.fault_headers = [error], {"Retry-After": "30"}
    assert await tell(letter()) == sent


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (429, Sent("retry", "http_429")),
        (503, Sent("retry", "http_5xx", ambiguous=True)),
        (302, Sent("failed", "redirect")),
        (404, Sent("failed", "http_4xx")),
        ("hang", Sent("retry", "timeout", ambiguous=True)),
        ("slow", Sent("retry", "timeout", ambiguous=True)),
        ("huge", Sent("retry", "bad_answer", ambiguous=True)),
        ("drop", Sent("retry", "network", ambiguous=True)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", Sent("retry", "bad_answer", ambiguous=True)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops", Sent("retry", "bad_answer", ambiguous=True)),
    ],
)
async def test_what_a_misbehaving_server_means(tell, slack, letter, hurried, fault, sent):
    slack.faults = [fault]
    assert await tell(letter()) == sent


async def test_blocks_that_slack_refuses_go_as_bare_text(tell, slack, letter):
    slack.refuses_blocks = True
    assert (await tell(letter())).outcome == "delivered"
    assert "blocks" not in slack.posts[CHANNEL][0]


async def test_a_head_that_somebody_deleted_costs_the_thread_and_not_the_notice(tell, slack, letter):
    thread = (await tell(letter())).reference
    slack.posts[CHANNEL].clear()
    assert (await tell(letter(delivery="d2", kind="terminal", thread=thread))).outcome == "delivered"
    assert "thread_ts" not in slack.posts[CHANNEL][0]


async def test_an_edit_that_has_to_wait_holds_the_reply_and_is_not_ambiguous(tell, slack, letter):
    thread = (await tell(letter())).reference
    slack.faults = [503]
    end = letter(delivery="d2", kind="terminal", thread=thread)
    assert await tell(end) == Sent("retry", "http_5xx")
    assert len(slack.posts[CHANNEL]) == 1
    assert (await tell(end)).outcome == "delivered"


async def test_a_wrong_token_fails_this_channel_and_is_not_shown(tell, slack, letter):
    sent = await tell(letter(), token="xoxb-wrong")
    assert sent == Sent("failed", "slack_invalid_auth")
    assert "xoxb" not in repr(sent)


async def test_an_old_message_with_the_same_words_is_not_taken_for_it(tell, slack, letter, now):
    await tell(letter(delivery="other"))
    assert (await tell(letter(ambiguous=True, created_at=now + timedelta(seconds=1)))).outcome == "delivered"
    assert len(slack.posts[CHANNEL]) == 2
