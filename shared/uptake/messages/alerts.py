"""What alerting tells the world: CloudEvents on ALERT, so that anyone can subscribe."""

from typing import Any, Literal

from pydantic import Field

from uptake.messages.fields import Day, Instant, Message

Severity = Literal["info", "warning", "critical"]
AlertState = Literal["ok", "pending", "firing", "recovering", "resolved", "closed"]


class AlertData(Message):
    """The snapshot behind one change of one alert; complete, so that a reader asks nobody.

    `why`: who came into question to be told first, in order, and why each was or was not.
    """

    episode: str
    number: int
    rule: str
    subject_kind: Literal["account", "trial", "team", "instance", "rule", "episode"]
    subject: str
    account: str | None
    region: str | None
    severity: Severity
    state: AlertState
    reason: str
    since: Day | None
    fired_at: Instant | None
    detected_at: Instant
    owner: str | None
    summary: str
    next_step: str
    values: dict[str, Any]
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    links: dict[str, str] = Field(default_factory=dict)
    why: list[str] = Field(default_factory=list)
    by: str | None = None
    via: str | None = None
    note: str | None = None


class AlertEvent(Message):
    """A CloudEvents 1.0 envelope. Subject: `alert.v1.<event>.<region>.<severity>.<rule>.<subject token>`."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = "uptake/alerting"
    type: str
    subject: str
    time: Instant
    datacontenttype: Literal["application/json"] = "application/json"
    data: AlertData
