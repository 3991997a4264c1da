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
    UniqueConstraint("rule", "subject", "number"),
    Index("episode_open", "rule", "subject", unique=True, postgresql_where=text("ended_at IS NULL")),
    Index("episode_by_time", "fired_at"),
)

#: What happened to an episode, in order: its history, and the outbox to ALERT.
alert_event = Table(
    "alert_event",
    metadata,
    Column("position", BigInteger, Identity(), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("episode", Text, ForeignKey("alerting.episode.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
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
    Column("episode", Text, ForeignKey("alerting.episode.id"), nullable=False),
    Column("event", Text, ForeignKey("alerting.alert_event.id"), nullable=False, comment="what it tells"),
    Column("kind", Text, nullable=False, comment="trigger or terminal"),
    Column("channel", Text, nullable=False),
    Column("channel_type", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("why", Text, nullable=False, comment="why this channel"),
    Column("status", Text, nullable=False, comment="pending, sending, delivered, failed or skipped"),
    Column("reason", Text, comment="why it is not delivered (yet)"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("ambiguous", Boolean, nullable=False, server_default=text("false"), comment="may have arrived unnoticed"),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False, comment="when to try, or until when a sender holds it"),
    Column("done_at", DateTime(timezone=True)),
    Index("delivery_by_episode", "episode"),
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
