"""Where a reader of an alert goes on: addresses of our own answers. Pure; what customers wrote is escaped."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from uptake.messages.alerts import AlertData


@dataclass(frozen=True, slots=True)
class Links:
    """`alerting` and `metrics`: how people reach the two, without a slash at the end; null: nobody said."""

    alerting: str | None = None
    metrics: str | None = None

    def of(self, data: AlertData) -> dict[str, str]:
        """`alert`: its history; `account`: formula, inputs and dates of every number on the day that it tells of."""
        found = {}
        if self.alerting is not None:
            found["alert"] = f"{self.alerting}/api/v1/alerts/{data.episode}"
        if self.metrics is not None and data.account not in (None, ".", ".."):
            account = quote(str(data.account), safe="")
            found["account"] = f"{self.metrics}/api/v1/accounts/{account}{_question(data.values)}"
        return found

    def added_to(self, data: AlertData) -> AlertData:
        """They stand in no row, so that a new address holds for old alerts too."""
        return data.model_copy(update={"links": self.of(data)})


NO_LINKS = Links()


def _question(values: Mapping[str, object]) -> str:
    day = values.get("as_of")
    return f"/explain?as_of={day}" if isinstance(day, str) else "/kpis"
