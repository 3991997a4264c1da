"""A notice as an e-mail: plain text and HTML. Pure; what customers wrote can be neither a header nor markup."""

import html
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP

from uptake_alerting.senders.letter import Letter
from uptake_alerting.wording import Notice

_MAX_SUBJECT = 200


def message(sender: str, to: Sequence[str], letter: Letter) -> EmailMessage:
    """The same bytes for every attempt."""
    found = EmailMessage(policy=SMTP)
    found["From"] = sender
    found["To"] = ", ".join(to)
    found["Subject"] = _plain(letter.notice.headline)[:_MAX_SUBJECT]
    found["Date"] = letter.created_at
    found["Message-ID"] = message_id(sender, letter)
    answered = (letter.thread or {}).get("message_id")
    if letter.kind != "trigger" and answered:
        found["In-Reply-To"] = found["References"] = str(answered)
    found["Auto-Submitted"] = "auto-generated"
    if letter.data is not None:
        found["X-Uptake-Rule"] = letter.data.rule
        found["X-Uptake-Severity"] = letter.data.severity
    found.set_content(text(letter))
    found.add_alternative(markup(letter), subtype="html")
    found.set_boundary(f"uptake-{letter.delivery}")
    return found


def _plain(line: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in line).split())


def message_id(sender: str, letter: Letter) -> str:
    """Made of the delivery's id, so that a copy is known as one."""
    return f"<{letter.delivery}@{sender.rpartition('@')[2]}>"


def text(letter: Letter) -> str:
    return (
        "\n\n".join("\n".join((page.headline, *(("", *page.lines) if page.lines else ()))) for page in letter.pages)
        + "\n"
    )


def markup(letter: Letter) -> str:
    return f"<html><body>\n{''.join(map(_page, letter.pages))}</body></html>\n"


def _page(notice: Notice) -> str:
    lines = "".join(f"<p>{html.escape(line)}</p>\n" for line in notice.lines)
    return f"<h3>{html.escape(notice.headline)}</h3>\n{lines}"
