"""What producers may say: one class per event type of the envelope `{"id", "type", "occurred_at", ...fields}`.

`source` is not among the fields: it comes from the producer's credential.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from uptake.messages.fields import MAX_INTEGER, Cents, Count, Day, FreeText, Id, Instant, Label, Message, Slug, TimeZone

Number = Annotated[float, Field(ge=-MAX_INTEGER, le=MAX_INTEGER, allow_inf_nan=False, strict=True)]


class Event(Message):
    """The envelope. `id` is unique per source for ever; `occurred_at` is when it happened, in UTC once parsed."""

    id: Id
    occurred_at: Instant


class _OfAccountOrInstance(Event):
    account: Id | None = None
    instance: Id | None = None

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.account is None and self.instance is None:
            raise ValueError("needs an account or an instance")
        return self


class Usage(_OfAccountOrInstance):
    """One user did one thing at one instant."""

    type: Literal["usage"]
    user: Id
    feature: Id
    environment: Slug = "production"
    actor: Literal["human", "system", "operator", "staff", "anonymous"] = "human"
    properties: dict[Label, Number] = Field(default_factory=dict, max_length=50)


class UsagePing(_OfAccountOrInstance):
    """Aggregates from an installation that sends no events."""

    type: Literal["usage.ping"]
    day: Day
    mau: Count
    dau: Count | None = None
    registered: Count | None = None


class InstanceHeartbeat(Event):
    """The installation is alive, whoever uses it."""

    type: Literal["instance.heartbeat"]
    instance: Id


class InstanceMapped(Event):
    """The installation belongs to this account."""

    type: Literal["instance.mapped"]
    instance: Id
    account: Id
    environment: Slug = "production"


class AccountUpdated(Event):
    """Attributes of an account; a field left out stays as it was, an explicit null clears it."""

    type: Literal["account.updated"]
    account: Id
    name: Label | None = None
    region: Label | None = None
    time_zone: TimeZone | None = None
    owner: Label | None = None
    deputy: Label | None = None
    executive: Label | None = None
    manager: Label | None = None
    segment: Label | None = None
    plan: Label | None = None
    telemetry: Literal["full", "pings", "none"] | None = None
    use_cases: list[Label] | None = Field(default=None, max_length=100)
    contract_start: Day | None = None
    production_date: Day | None = None
    churned_at: Instant | None = None
    policy: Label | None = None
    seats_basis: Literal["purchased", "addressable", "none"] | None = None
    addressable: Count | None = None
    user_lists: bool | None = None


class _License(Event):
    account: Id
    license: Id
    seats: Count | Literal["unlimited"] | None = None
    environment: Slug = "production"
    starts_at: Instant | None = None
    expires_at: Instant | None = None
    product: Label | None = None

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.starts_at and self.expires_at and self.expires_at < self.starts_at:
            raise ValueError("expires_at is before starts_at")
        return self


class LicenseIssued(_License):
    """Seats from `starts_at` (default `occurred_at`) up to `expires_at`; a later fact of the license corrects it."""

    type: Literal["license.issued"]
    seats: Count | Literal["unlimited"]


class LicenseRevoked(_License):
    """The license ends at `occurred_at`."""

    type: Literal["license.revoked"]


class OpportunityStageChanged(Event):
    type: Literal["opportunity.stage_changed"]
    opportunity: Id
    account: Id
    stage: Annotated[int, Field(strict=True, ge=0, le=7)]
    complexity: Literal["standard", "complex"] | None = None
    engineer: Label | None = None
    executive: Label | None = None


class TrialDecided(Event):
    type: Literal["trial.decided"]
    opportunity: Id
    outcome: Literal["win", "loss", "abandoned"]


class _OpportunityOutcome(Event):
    opportunity: Id
    account: Id
    outcome: Literal["won", "lost"] | None = None
    kind: Literal["new", "expansion", "renewal"] | None = None
    recurring_cents: Cents | None = None
    previous_recurring_cents: Cents | None = None
    one_time_cents: Cents | None = None
    years: Annotated[int, Field(strict=True, ge=1, le=20)] = 1
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    products: list[Label] = Field(default_factory=list, max_length=100)


class OpportunityClosed(_OpportunityOutcome):
    type: Literal["opportunity.closed"]
    outcome: Literal["won", "lost"]


class OpportunityReopened(_OpportunityOutcome):
    type: Literal["opportunity.reopened"]


class UserLinked(Event):
    type: Literal["user.linked"]
    account: Id
    user: Id
    other: Id


class UserUnlinked(Event):
    type: Literal["user.unlinked"]
    account: Id
    user: Id
    other: Id


class UserDeleted(Event):
    type: Literal["user.deleted"]
    account: Id
    user: Id


class FeedbackSubmitted(Event):
    type: Literal["feedback.submitted"]
    account: Id
    theme: Label
    impact: Literal["P0", "P1", "P2"]
    text: FreeText


BusinessEvent = Annotated[
    UsagePing
    | InstanceHeartbeat
    | InstanceMapped
    | AccountUpdated
    | LicenseIssued
    | LicenseRevoked
    | OpportunityStageChanged
    | TrialDecided
    | OpportunityClosed
    | OpportunityReopened
    | UserLinked
    | UserUnlinked
    | UserDeleted
    | FeedbackSubmitted,
    Field(discriminator="type"),
]

EVENT_CLASSES: dict[str, type[Event]] = {
    "usage": Usage,
    "usage.ping": UsagePing,
    "instance.heartbeat": InstanceHeartbeat,
    "instance.mapped": InstanceMapped,
    "account.updated": AccountUpdated,
    "license.issued": LicenseIssued,
    "license.revoked": LicenseRevoked,
    "opportunity.stage_changed": OpportunityStageChanged,
    "trial.decided": TrialDecided,
    "opportunity.closed": OpportunityClosed,
    "opportunity.reopened": OpportunityReopened,
    "user.linked": UserLinked,
    "user.unlinked": UserUnlinked,
    "user.deleted": UserDeleted,
    "feedback.submitted": FeedbackSubmitted,
}
