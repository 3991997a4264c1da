"""A notice in the form that each type of channel would get, by the very code that sends it. Sends nothing; pure."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from uptake_alerting.channels import AlertmanagerChannel
from uptake_alerting.senders import alertmanager, mail_form, pagerduty, slack, slack_form, webhook
from uptake_alerting.senders.letter import Letter

_FROM, _TO = "uptake@example.com", "you@example.com"


def _slack_app(letter: Letter) -> dict[str, Any]:
    return slack_form.message(letter, "CHANNEL", shared=False)


def _email(letter: Letter) -> str:
    return mail_form.message(_FROM, [_TO], letter).as_string()


def _webhook(letter: Letter) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(json.dumps(webhook.form(letter, len(letter.items), len(letter.notice.lines))))
    return shown


def _alertmanager(letter: Letter) -> dict[str, Any]:
    assert letter.data is not None  # noqa: S101  # only alerts are previewed
    known = alertmanager.labels(
        AlertmanagerChannel(type="alertmanager", url="http://alertmanager.example.com"), letter.data
    )
    ended_at: datetime | None = letter.created_at if letter.kind == "terminal" else None
    return alertmanager.alert(letter.data, letter.notice, known, letter.created_at, ended_at)


#: By type of channel; `text` is the words alone, which apprise gets.
FORMS: Mapping[str, Callable[[Letter], str | dict[str, Any]]] = {
    "text": mail_form.text,
    "slack": slack.form,
    "slack_app": _slack_app,
    "email": _email,
    "webhook": _webhook,
    "pagerduty": pagerduty.event,
    "alertmanager": _alertmanager,
    "apprise": mail_form.text,
}
