"""What alerts say to people, from the snapshot in the event alone. Pure; customer text is data, never markup."""

from uptake_alerting.wording.messages import cover, digest, notice
from uptake_alerting.wording.sentences import NEXT_STEPS, summary
from uptake_alerting.wording.text import NAME_LENGTH, SLACK_LENGTH, Notice, percent, short, slack_text
from uptake_alerting.wording.values import (
    values_of_account,
    values_of_instance,
    values_of_team,
    values_of_trial,
)
from uptake_alerting.wording.weeks import weekly

__all__ = [
    "NAME_LENGTH",
    "NEXT_STEPS",
    "SLACK_LENGTH",
    "Notice",
    "cover",
    "digest",
    "notice",
    "percent",
    "short",
    "slack_text",
    "summary",
    "values_of_account",
    "values_of_instance",
    "values_of_team",
    "values_of_trial",
    "weekly",
]
