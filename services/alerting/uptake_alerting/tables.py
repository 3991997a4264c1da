"""The tables that alerting owns (schema `alerting`), as SQLAlchemy describes them. No queries here."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "alerting"
metadata = MetaData(schema=SCHEMA)

#: The position in KPI. Its compare-and-set is the fence between replicas.
cursor = Table(
    "cursor",
    metadata,
    Column("name", Text, primary_key=True),
    Column("stream_uuid", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("stored_at", DateTime(timezone=True)),
)

#: The closed days of an account, the latest revision of each, as metrics published them; some 40 days are kept.
sample = Table(
    "sample",
    metadata,
    Column("account", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("snapshot", JSONB, nullable=False),
)

#: The latest snapshot of each trial.
trial = Table(
    "trial",
    metadata,
    Column("opportunity", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("snapshot", JSONB, nullable=False),
)

#: The latest snapshot of what has neither closed days nor a clock of its own: the team, an installation.
subject_snapshot = Table(
    "subject_snapshot",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("snapshot", JSONB, nullable=False),
)

#: Where the fold of one rule over one subject stands. Its row lock makes evaluations of one instance take turns.
instance = Table(
    "instance",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("state", JSONB, comment="the fold after the newest day"),
    Column("checkpoint", JSONB, comment="the fold over days whose samples are gone"),
    Column("wake_at", DateTime(timezone=True), comment="when to look again without any message"),
    Index("instance_to_wake", "wake_at", postgresql_where=text("wake_at IS NOT NULL")),
)

#: One unbroken firing. At most one per instance is open.
episode = Table(
    "episode",
    metadata,
    Column("id", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Date, nullable=False),
    Column("fired_at", DateTime(timezone=True), nullable=False),
    Column("detected_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Column("data", JSONB, nullable=False, comment="the AlertData of the latest event"),
    Column("account", Text),
    Column("severity", Text, nullable=False, server_default=text("'warning'")),
    Column("look_at", DateTime(timezone=True), comment="when its notices are planned again"),
    Column("acked_by", Text),
    Column("acked_at", DateTime(timezone=True)),
    Column("ack_until", DateTime(timezone=True)),
    Column("snoozed_until", DateTime(timezone=True)),
    Column("assignee", Text),
    Column("gates", JSONB, nullable=False, server_default=text("'[]'"), comment="why nothing goes out now"),
    Column("escalation", Integer, nullable=False, server_default=text("0"), comment="the level that was reached"),
    Column("route", JSONB, comment="how its recipients were chosen"),
    UniqueConstraint("rule", "subject", "number"),
    Index("episode_open", "rule", "subject", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("episode_by_time", "fired_at"),
    Index("episode_to_look_at", "look_at", postgresql_where=text("look_at IS NOT NULL")),
    Index("episode_of_account", "account", postgresql_where=text("ended_at IS NULL")),
)

#: What happened to an episode, in order: its history, and the outbox to ALERT.
alert_event = Table(
    "alert_event",
    metadata,
    Column("position", BigInteger, Identity(), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("episode", Text, ForeignKey("alerting.episode.id"), comment="null: it is pending, and none has begun"),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("by", Text, comment="who did it, where a person did"),
    Column("note", Text),
    Column("subject", Text, nullable=False, comment="of the broker"),
    Column("body", JSONB, nullable=False, comment="the CloudEvent"),
    Column("published_at", DateTime(timezone=True)),
    Index("alert_event_by_episode", "episode", "position"),
    Index("alert_event_unpublished", "position", postgresql_where=text("published_at IS NULL")),
)

#: The outbox to channels: one notice of one kind of one episode to one destination, for ever under one id.
delivery = Table(
    "delivery",
    metadata,
    Column("id", Text, primary_key=True),
    Column("episode", Text, ForeignKey("alerting.episode.id"), comment="null: a digest, or a notice to operators"),
    Column("event", Text, ForeignKey("alerting.alert_event.id"), comment="what it tells"),
    Column("kind", Text, nullable=False, comment="trigger, update, reminder, escalation, terminal, digest, operator"),
    Column("sequence", Integer, nullable=False, server_default=text("0"), comment="which update or reminder it is"),
    Column("person", Text, comment="whom it is for; null: whoever reads the channel"),
    Column("channel", Text, nullable=False),
    Column("channel_type", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("why", Text, nullable=False, comment="why this channel"),
    Column("status", Text, nullable=False, comment="collected, pending, sending, delivered, failed, skipped"),
    Column("reference", JSONB, comment="what the channel gave us to edit, thread or resolve it by"),
    Column("digest", Text, comment="the delivery of the digest that carries it"),
    Column("letter", Text, comment="what it goes in, alone or with others; null: never tried"),
    Column("content", JSONB, comment="what a notice without an event says"),
    Column("reason", Text, comment="why it is not delivered (yet)"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("ambiguous", Boolean, nullable=False, server_default=text("false"), comment="may have arrived unnoticed"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False, comment="when to try, or until when a sender holds it"),
    Column("done_at", DateTime(timezone=True)),
    Index("delivery_by_episode", "episode"),
    Index("delivery_collected", "person", "channel", postgresql_where=text("status = 'collected'")),
    Index("delivery_by_digest", "digest", postgresql_where=text("digest IS NOT NULL")),
    Index("delivery_by_letter", "letter", postgresql_where=text("status IN ('pending', 'sending')")),
    Index("delivery_due", "due_at", postgresql_where=text("status IN ('pending', 'sending')")),
)

#: A destination that asked for a pause (429).
pause = Table(
    "pause",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
)

#: Nobody is told of alerts that match until it ends. The condition goes on under it.
silence = Table(
    "silence",
    metadata,
    Column("id", Text, primary_key=True),
    Column("matchers", JSONB, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("expired_by", Text, comment="who ended it early"),
)

#: A rule that too many accounts breached at once: its notices are held until somebody releases them, or `until`.
breaker = Table(
    "breaker",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("tripped_at", DateTime(timezone=True), primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
    Column("breaching", Integer, nullable=False),
    Column("accounts", Integer, nullable=False),
    Column("released_at", DateTime(timezone=True)),
    Column("released_by", Text),
    Index("breaker_tripped", "rule", unique=True, postgresql_where=text("released_at IS NULL")),
)

#: Which weekly digests were made.
weekly = Table(
    "weekly",
    metadata,
    Column("person", Text, primary_key=True),
    Column("week", Date, primary_key=True),
)

#: The rules that all subjects were evaluated under; another fingerprint in the file means: evaluate them again.
rule_in_force = Table(
    "rule_in_force",
    metadata,
    Column("name", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
)
