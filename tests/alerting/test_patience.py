"""What an attempt's outcome means, as tables."""

from datetime import UTC, datetime, timedelta

import pytest

from uptake_alerting.patience import Next, Sent, after, judge, retry_after_s

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "retry_after", "sent"),
    [
        (200, None, Sent("delivered", "ok")),
        (204, None, Sent("delivered", "ok")),
        (301, None, Sent("failed", "redirect")),
        (400, None, Sent("failed", "http_4xx")),
        (404, None, Sent("failed", "http_4xx")),
        (429, "7", Sent("retry", "http_429", 7.0)),
        (429, None, Sent("retry", "http_429", None)),
        (500, None, Sent("retry", "http_5xx")),
        (503, "7", Sent("retry", "http_5xx")),
    ],
)
def test_an_answer(status, retry_after, sent):
    assert judge(status, retry_after, NOW) == sent


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 30 ", 30.0),
        ("Mon, 04 May 2026 12:01:00 GMT", 60.0),
        ("Mon, 04 May 2026 11:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after_in_both_its_forms(value, seconds):
    assert retry_after_s(value, NOW) == seconds


@pytest.mark.parametrize(
    ("attempts", "jitter", "wait_s"),
    [(1, 0.0, 5), (1, 0.999, 10), (2, 0.999, 20), (5, 0.5, 82.5), (8, 0.999, 900), (10_000, 0.999, 900)],
)
def test_waiting_grows_from_5_s_to_15_min_with_full_jitter(attempts, jitter, wait_s):
    due_at = after(Sent("retry", "http_5xx"), attempts, NOW, NOW, jitter).due_at
    assert (due_at - NOW).total_seconds() == pytest.approx(wait_s, abs=1)


@pytest.mark.parametrize(
    ("sent", "age_h", "status", "reason"),
    [
        (Sent("delivered", "ok"), 30, "delivered", "ok"),
        (Sent("failed", "http_4xx"), 0, "failed", "http_4xx"),
        (Sent("retry", "network"), 23.9, "pending", "network"),
        (Sent("retry", "network"), 24, "failed", "gave_up"),
        (Sent("retry", "http_429", 5.0), 24, "failed", "gave_up"),
    ],
)
def test_it_gives_up_after_a_day_or_when_trying_cannot_help(sent, age_h, status, reason):
    found = after(sent, 3, NOW - timedelta(hours=age_h), NOW, 0.5)
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(("asked_s", "pause_s"), [(7.0, 7), (1e6, 3600), (0.5, 5)])
def test_429_pauses_the_whole_destination_as_long_as_it_asks_but_an_hour_at_most(asked_s, pause_s):
    found = after(Sent("retry", "http_429", asked_s), 1, NOW, NOW, 0.5)
    assert found.pause_until == found.due_at == NOW + timedelta(seconds=pause_s)


@pytest.mark.parametrize(("attempts", "wait_s"), [(1, 7.5), (5, 82.5), (9, 452.5)])
def test_429_that_asks_for_no_time_at_all_is_not_tried_dozens_of_times_a_second(attempts, wait_s):
    told = after(Sent("retry", "http_429", retry_after_s=0.0), attempts, NOW, NOW, 0.5)
    assert told.pause_until == told.due_at == NOW + timedelta(seconds=wait_s)


def test_429_without_a_time_pauses_for_our_own():
    found = after(Sent("retry", "http_429"), 1, NOW, NOW, 0.0)
    assert found.pause_until == NOW + timedelta(seconds=5)


def test_what_the_channel_gave_back_is_kept():
    found = after(Sent("delivered", "ok", reference={"ts": "1"}), 1, NOW, NOW, 0.5)
    assert (found.status, found.reference) == ("delivered", {"ts": "1"})


def test_a_skip_of_the_sender_stays_one():
    assert after(Sent("skipped", "episode_ended"), 2, NOW, NOW, 0.5) == Next("skipped", "episode_ended")
