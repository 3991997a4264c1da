"""E-mail against a mail server of our own that misbehaves: STARTTLS, refusals for now and for good, lost answers."""

import email
import email.policy

import pytest

from tests.alerting.fakes.smtp import FakeSmtp
from uptake_alerting.patience import Sent
from uptake_alerting.senders import new_outlet
from uptake_alerting.wording import Notice

REFERENCE = {"message_id": "<d1@uptake.example>", "to": ["team@example.com"]}
DELIVERED = Sent("delivered", "ok", reference=REFERENCE)


@pytest.fixture
async def post_office(authority):
    async with FakeSmtp(tls=authority.server("right")).serve() as fake:
        yield fake


@pytest.fixture
def mail(deliver, post_office, authority):
    """With STARTTLS and a password, to the channel's own mailbox; `trusted`: by an authority that we know."""

    async def run(letter, more="to: [team@example.com]", tls="starttls", trusted=True, login=True):
        known = "user: uptake, password: hush, " if login else ""
        to = f"host: 127.0.0.1, port: {post_office.port}, sender: alerts@uptake.example, allow_private: true, {more}"
        async with new_outlet(authority.client() if trusted else None) as outlet:
            return await deliver(f"type: email, tls: {tls}, {known}{to}", letter, through=outlet)

    return run


def parsed(mail):
    return email.message_from_bytes(mail.data, policy=email.policy.default)


async def test_a_trigger_is_a_mail_over_tls_with_an_id_of_its_own(mail, post_office, letter):
    assert await mail(letter()) == DELIVERED
    (got,) = post_office.mails
    assert (got.sender, got.to, got.encrypted, got.user) == (
        "alerts@uptake.example",
        ["team@example.com"],
        True,
        "uptake",
    )
    said = parsed(got)
    assert said["Subject"] == "Warning: <b> is low"
    assert said["Message-ID"] == "<d1@uptake.example>"
    assert said["Auto-Submitted"] == "auto-generated"
    assert said["X-Uptake-Rule"] == "adoption-below-target"
    assert said["In-Reply-To"] is None
    assert "Ü & co" in said.get_body(("plain",)).get_content()
    assert "&lt;b&gt; is low" in said.get_body(("html",)).get_content()


async def test_the_end_answers_the_trigger_and_goes_where_it_went(mail, post_office, letter, engineer):
    thread = (await mail(letter(person=engineer()), more="to: []")).reference
    assert thread["to"] == ["ce-1@example.com"]
    moved = letter(delivery="d2", kind="terminal", thread=thread, person=engineer(email="new@example.com"))
    await mail(moved, more="to: []")
    first, last = post_office.mails
    assert first.to == last.to
    assert parsed(last)["In-Reply-To"] == parsed(last)["References"] == parsed(first)["Message-ID"]


async def test_a_crash_between_send_and_record_makes_a_copy_that_is_known_as_one(mail, post_office, letter, hurried):
    post_office.says["data end"] = "lost"
    assert await mail(letter()) == Sent("retry", "timeout", ambiguous=True)
    del post_office.says["data end"]
    assert await mail(letter(ambiguous=True, attempts=2)) == DELIVERED
    first, second = post_office.mails
    assert first.data == second.data


async def test_customer_text_can_be_neither_a_header_nor_markup(mail, post_office, letter):
    said = Notice("Low\r\nBcc: all@example.com\x00\x1b", ("<script>x</script>\r\n.\r\nMAIL FROM:<x>", "Ümläut " * 400))
    assert await mail(letter(notice=said)) == DELIVERED
    (got,) = post_office.mails
    assert got.to == ["team@example.com"]
    assert parsed(got)["Bcc"] is None
    assert parsed(got)["Subject"] == "Low Bcc: all@example.com"
    assert "<script>" not in parsed(got).get_body(("html",)).get_content()


async def test_nobody_to_write_to_fails_at_once(mail, post_office, letter, engineer):
    assert await mail(letter(), more="to: []") == Sent("failed", "no_address")
    assert await mail(letter(person=engineer(email=None)), more="to: []") == Sent("failed", "no_address")
    assert await mail(letter(person=engineer(email="ü@example.com")), more="to: []") == Sent("failed", "bad_address")
    assert post_office.mails == []


async def test_one_refused_mailbox_does_not_stop_the_others(mail, post_office, letter):
    post_office.says["RCPT gone@example.com"] = "550 no such user"
    sent = await mail(letter(), more="to: [gone@example.com, team@example.com]")
    assert (sent.outcome, sent.reason) == ("delivered", "partly")
    assert post_office.mails[0].to == ["team@example.com"]


@pytest.mark.parametrize(
    ("says", "sent"),
    [
        ({"greeting": "421 too busy"}, Sent("retry", "smtp_4xx")),
        ({"greeting": "554 go away"}, Sent("failed", "smtp_5xx")),
        ({"greeting": "hang"}, Sent("retry", "timeout")),
        ({"greeting": "nonsense"}, Sent("retry", "network")),
        ({"STARTTLS": "454 not now"}, Sent("retry", "smtp_4xx")),
        ({"AUTH": "454 not now"}, Sent("retry", "smtp_4xx")),
        ({"AUTH": "535 wrong"}, Sent("failed", "smtp_auth")),
        ({"MAIL": "451 later"}, Sent("retry", "smtp_4xx")),
        ({"MAIL": "550 not you"}, Sent("failed", "smtp_5xx")),
        ({"RCPT": "450 mailbox busy"}, Sent("retry", "smtp_4xx")),
        ({"RCPT": "550 no such user"}, Sent("failed", "smtp_5xx")),
        ({"DATA": "451 later"}, Sent("retry", "smtp_4xx")),
        ({"data end": "452 disk full"}, Sent("retry", "smtp_4xx")),
        ({"data end": "554 looks like spam"}, Sent("failed", "smtp_5xx")),
        ({"data end": "hang"}, Sent("retry", "timeout", ambiguous=True)),
        ({"data end": "drop"}, Sent("retry", "network", ambiguous=True)),
    ],
)
async def test_what_a_misbehaving_server_means(mail, post_office, letter, hurried, says, sent):
    post_office.says = says
    assert await mail(letter()) == sent
    assert post_office.mails == []


async def test_a_server_without_starttls_gets_neither_password_nor_mail(mail, post_office, letter):
    post_office.offers_starttls = False
    assert await mail(letter()) == Sent("failed", "no_starttls")
    assert post_office.mails == []


async def test_a_certificate_of_an_unknown_authority_is_refused(mail, post_office, letter):
    assert await mail(letter(), trusted=False) == Sent("retry", "tls")
    assert post_office.mails == []


async def test_a_certificate_of_another_host_is_refused(mail, post_office, letter, authority):
    post_office.tls = authority.server("wrong")
    assert await mail(letter()) == Sent("retry", "tls")


async def test_tls_from_the_first_byte_works_too(deliver, letter, authority):
    async with FakeSmtp(tls=authority.server("right")).serve(implicit_tls=True) as office:
        to = f"host: 127.0.0.1, port: {office.port}, sender: a@uptake.example, to: [b@example.com], allow_private: true"
        async with new_outlet(authority.client()) as outlet:
            assert (await deliver(f"type: email, tls: tls, {to}", letter(), through=outlet)).outcome == "delivered"
    assert office.mails[0].encrypted


async def test_in_the_clear_only_when_it_is_set_so_and_never_with_a_password(mail, post_office, letter):
    assert await mail(letter(), tls="none", login=False) == DELIVERED
    assert not post_office.mails[0].encrypted
    with pytest.raises(ValueError, match="a password needs tls"):
        await mail(letter(), tls="none")


async def test_nobody_there_and_a_private_server(deliver, letter, free_port):
    to = f"type: email, host: 127.0.0.1, port: {free_port()}, sender: a@uptake.example, to: [b@example.com]"
    assert await deliver(f"{to}, allow_private: true", letter()) == Sent("retry", "network")
    assert await deliver(to, letter()) == Sent("failed", "private_address")
