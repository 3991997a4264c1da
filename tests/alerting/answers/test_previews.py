"""What a notice would look like in each channel, as alerting answers it; and that customers cannot inject anywhere."""

import json
from datetime import UTC, date, datetime

import pytest

from tests.alerting.two_rules import RULES
from uptake_alerting import evaluation
from uptake_alerting.links import Links
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.preview import FORMS
from uptake_alerting.wording import notice, summary
from uptake_alerting.wording.examples import example

NOW = datetime(2026, 5, 4, 2, tzinfo=UTC)
CARRY_DATA = {"webhook", "alertmanager", "pagerduty"}  # as they are, for programs
HOSTILE = "<!channel> & <b>*Acme*</b>\r\nBcc: all@example.com \u202e[x](http://evil.example)"


@pytest.fixture
async def alert(engine, account_day, clock):
    days = [account_day(date(2026, 5, number), 24) for number in (1, 2, 3)]
    async with engine.begin() as connection:
        await evaluation.take(connection, days, RULES, clock.now)


@pytest.fixture
def known(call, alert):
    async def run():
        return (await call("GET", "/alerts")).json()[0]["id"]

    return run


async def test_an_alert_in_words_and_as_a_payload(call, known):
    id_ = await known()
    words = (await call("GET", f"/alerts/{id_}/preview")).json()
    assert words["form"].startswith("Warning: Acme Corp is below its adoption target: 24 % (24/100 seats), target 50 %")
    assert "You get this because this is a preview." in words["form"]
    told = (await call("GET", f"/alerts/{id_}/preview", channel="pagerduty", kind="reminder")).json()
    assert told["form"]["event_action"] == "trigger"
    assert told["form"]["payload"]["summary"].startswith("Reminder (Warning): Acme Corp")


@pytest.mark.parametrize("channel", FORMS)
@pytest.mark.parametrize("kind", ["trigger", "update", "reminder", "escalation", "terminal"])
async def test_every_rule_has_every_form(call, channel, kind):
    for rule in RulesFile(None).current().alerts:
        answer = await call("GET", f"/rules/{rule.name}/preview", channel=channel, kind=kind)
        assert answer.status_code == 200, answer.text
        assert answer.json()["form"]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/alerts/0/preview", {}, 404),
        ("/rules/nope/preview", {}, 404),
        ("/rules/mass-breach/preview", {}, 400),
        ("/rules/usage-unhealthy/preview", {"channel": "fax"}, 400),
        ("/rules/usage-unhealthy/preview", {"kind": "digest"}, 400),
    ],
)
async def test_what_cannot_be_previewed(call, path, query, status):
    assert (await call("GET", path, **query)).status_code == status


def hostile():
    """An alert of an account with a hostile name, to somebody with one, as a letter."""
    rule = RulesFile(None).current().by_name["usage-unhealthy"]
    data = example(rule, NOW)
    values = data.values | {"name": HOSTILE}
    data = data.model_copy(
        update={
            "values": values,
            "account": HOSTILE,
            "owner": HOSTILE,
            "summary": summary(rule.name, HOSTILE, values, "firing", "firing"),
        }
    )
    data = Links("https://a.example.com", "https://m.example.com").added_to(data)
    said = notice(data, HOSTILE)
    return Letter("d1", "trigger", 0, NOW, "why", None, "x", None, data, said)


@pytest.mark.parametrize("channel", ["slack", "slack_app"])
def test_slack_reads_no_mention_and_no_link_in_what_customers_wrote(channel):
    form = FORMS[channel](hostile())
    texts = [form["text"], *(block["text"]["text"] for block in form.get("blocks", ()) if "text" in block)]
    assert all("<" not in text and ">" not in text for text in texts)
    assert all("&lt;!channel&gt; &amp;" in text for text in texts)


@pytest.mark.parametrize("channel", sorted(FORMS.keys() - CARRY_DATA))
def test_no_word_turns_the_rest_of_a_line_around(channel):
    assert "\u202e" not in json.dumps(FORMS[channel](hostile()), ensure_ascii=False)


def test_a_mail_has_the_headers_that_we_wrote_and_no_markup_of_others():
    raw = FORMS["email"](hostile())
    head, _, body = raw.replace("\r\n", "\n").partition("\n\n")
    assert "Bcc:" not in [line[:4] for line in head.splitlines()]
    page = body.replace("=\n", "").partition("<html>")[2]
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


@pytest.mark.parametrize("channel", ["webhook", "pagerduty", "alertmanager"])
def test_json_stays_json_and_links_are_escaped(channel):
    form = json.loads(json.dumps(FORMS[channel](hostile())))
    assert form
    links = hostile().data.links
    assert links["account"].startswith("https://m.example.com/api/v1/accounts/%3C%21channel%3E%20%26%20")
    assert not set(links["account"]) & set("<>\r\n \u202e")


@pytest.mark.parametrize("channel", sorted(FORMS.keys() - {"alertmanager"}))
def test_a_name_of_a_megabyte_does_not_make_a_notice_of_a_megabyte(channel):
    rule, long = RulesFile(None).current().by_name["usage-unhealthy"], "x" * 1_000_000
    data = example(rule, NOW)
    said = summary(rule.name, "acme", data.values | {"name": long}, "firing", "firing")
    told = notice(data.model_copy(update={"summary": said, "owner": long}), long)
    letter = Letter("d1", "trigger", 0, NOW, "why", None, "x", None, None, told)
    assert len(json.dumps(FORMS[channel](letter))) < 10_000
