"""The tables that metrics owns (schema `metrics`), as SQLAlchemy describes them. No queries here."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA = "metrics"
metadata = MetaData(schema=SCHEMA)

#: The position in FACTS. Its compare-and-set is the fence between replicas.
cursor = Table(
    "cursor",
    metadata,
    Column("name", Text, primary_key=True),
    Column("stream_uuid", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("stored_at", DateTime(timezone=True)),
)

#: One row a shard: position in USAGE (the compare-and-set row) and number of the last checkpoint. Deltas up to
#: checkpoint `folded` may be gone: whoever follows from before it reads the masks. `restarted_at`: when it was told to
#: begin at what USAGE holds (docs/recovery.md); events that were counted before may be gone from there.
shard = Table(
    "shard",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("stream_uuid", Text),
    Column("sequence", BigInteger, nullable=False, server_default=text("0")),
    Column("checkpoint", BigInteger, nullable=False, server_default=text("0")),
    Column("stored_at", DateTime(timezone=True)),
    Column("folded", BigInteger, nullable=False, server_default=text("0")),
    Column("restarted_at", DateTime(timezone=True)),
)

#: Who is alive, by the database's own clock.
replica = Table(
    "replica",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)

#: Which replica reads which shard of USAGE; `lead` reads FACTS and sends. It saves work and guards nothing.
lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text),
)

#: Series number within its shard <-> what it counts. `kind`: total, feature or contact.
series = Table(
    "series",
    metadata,
    Column("shard", SmallInteger, primary_key=True),
    Column("series", Integer, primary_key=True),
    Column("account", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("feature", Text, nullable=False),
    UniqueConstraint("shard", "account", "kind", "environment", "feature"),
)

#: Hash of a user id within an account -> the id itself: for lists, links and erasure.
person = Table(
    "person",
    metadata,
    Column("account", Text, primary_key=True),
    Column("hash", BigInteger, primary_key=True, comment="64 bits, read as signed"),
    Column("user_id", Text, nullable=False),
)

#: The fresh user-days of one checkpoint, as three little-endian columns (i4, u8, i4).
activity_delta = Table(
    "activity_delta",
    metadata,
    Column("shard", SmallInteger, primary_key=True),
    Column("checkpoint", BigInteger, primary_key=True),
    Column("first_day", Integer, nullable=False),
    Column("last_day", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("series", LargeBinary, nullable=False),
    Column("user", LargeBinary, nullable=False),
    Column("day", LargeBinary, nullable=False),
)

#: Events of one checkpoint by the hour (since 1970) in which their batches were received: how many were stored, and how
#: many were processed of each account (its contact series; -1 = of no account). Two little-endian i4 columns.
ledger_delta = Table(
    "ledger_delta",
    metadata,
    Column("shard", SmallInteger, primary_key=True),
    Column("checkpoint", BigInteger, primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("stored", BigInteger, nullable=False),
    Column("processed", BigInteger, nullable=False),
    Column("series", LargeBinary, nullable=False),
    Column("events", LargeBinary, nullable=False),
)

#: The deltas of an hour added up.
ledger_hour = Table(
    "ledger_hour",
    metadata,
    Column("shard", SmallInteger, primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("stored", BigInteger, nullable=False),
    Column("processed", BigInteger, nullable=False),
    Column("series", LargeBinary, nullable=False),
    Column("events", LargeBinary, nullable=False),
)

#: Stored events that nobody can count, by the hour and the source that their batch names.
ledger_refused = Table(
    "ledger_refused",
    metadata,
    Column("hour", Integer, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
)

#: Each ingestion process in each shard: its events that we read, and how many it knew to be stored and we never read.
writer = Table(
    "writer",
    metadata,
    Column("shard", SmallInteger, primary_key=True),
    Column("writer", Text, primary_key=True),
    Column("stored", BigInteger, nullable=False),
    Column("missing", BigInteger, nullable=False),
    Column("seen_at", DateTime(timezone=True), nullable=False),
)

#: Per series and 64-day epoch: hashes and masks (u8 columns, sorted by hash). The old epochs are the archive.
activity_mask = Table(
    "activity_mask",
    metadata,
    Column("shard", SmallInteger, primary_key=True),
    Column("series", Integer, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("user", LargeBinary, nullable=False),
    Column("mask", LargeBinary, nullable=False),
)

#: The zone that an account's stored local days are in. A change recomputes them and leaves a `zone_change`.
account_zone = Table(
    "account_zone",
    metadata,
    Column("account", Text, primary_key=True),
    Column("shard", SmallInteger, nullable=False),
    Column("time_zone", Text, nullable=False),
    Index("account_zone_by_shard", "shard"),
)

zone_change = Table(
    "zone_change",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account", Text, nullable=False),
    Column("from_zone", Text, nullable=False),
    Column("to_zone", Text, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column("kept_until", Date, comment="days up to this one could not be recomputed and keep the former zone"),
)

#: Usage of an instance that names no account, kept as it came; and whose it is once the instance is mapped.
unattributed_usage = Table(
    "unattributed_usage",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("feature", Text, primary_key=True),
    Column("environment", Text, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("occurred_at", DateTime(timezone=True), primary_key=True),
    Column("import_id", Text, nullable=False, server_default=text("''")),
    Column("stored_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("attributed_to", Text),
    Column("attributed_at", DateTime(timezone=True)),
    Index("unattributed_waiting", "instance", postgresql_where=text("attributed_to IS NULL")),
    Index("unattributed_done", "attributed_at", postgresql_where=text("attributed_at IS NOT NULL")),
)

#: Every fact as it stands in FACTS; accounts and trials are folds over these rows. Known by its subject: a stream that
#: was made again gives its numbers to others.
fact = Table(
    "fact",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("account", Text),
    Column("opportunity", Text),
    Column("body", JSONB, nullable=False),
    Index("fact_by_sequence", "sequence"),
    Index("fact_by_account", "account"),
    Index("fact_by_opportunity", "opportunity"),
)

#: An import job: where it ends in USAGE is known once it is finished. It is done when nothing in `dirty` waits for it.
import_job = Table(
    "import_job",
    metadata,
    Column("import_id", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("usage_sequence", BigInteger),
    Column("finished_at", DateTime(timezone=True)),
)

#: Work to do: closed days of this subject may have changed from `first_day` on. `import_id` holds it until that job
#: ends. `marked` rises with each further mark, so that work done for an older mark does not wipe a newer one.
dirty = Table(
    "dirty",
    metadata,
    Column("subject", Text, primary_key=True, comment="account:<id> or trial:<opportunity>"),
    Column("import_id", Text, primary_key=True, server_default=text("''")),
    Column("first_day", Date, nullable=False),
    Column("marked", BigInteger, nullable=False, server_default=text("1")),
    Column("marked_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("due_at", DateTime(timezone=True), nullable=False),
    Column("shard", SmallInteger, nullable=False),
)

#: Every published value of every closed day: nothing is overwritten, a change is a new revision. Also the outbox.
snapshot = Table(
    "snapshot",
    metadata,
    Column("subject", Text, primary_key=True, comment="account:<id> or trial:<opportunity>"),
    Column("day", Date, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("sent", Boolean, nullable=False, server_default=text("false")),
    Index("snapshot_unsent", "created_at", postgresql_where=text("NOT sent")),
)

#: How many events of an account's local day the activity policy refused, by reason; deliveries, as they came.
not_counted = Table(
    "not_counted",
    metadata,
    Column("account", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("events", BigInteger, nullable=False),
    Index("not_counted_by_day", "day"),
)

#: The configuration under which the published days of a shard were last put on the worklist. `content`: what of it they
#: are judged by; empty where an earlier version wrote the row.
evaluated_under = Table(
    "evaluated_under",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("fingerprint", Text, nullable=False),
    Column("content", Text, nullable=False, server_default=text("''")),
)

#: Of each instance and UTC day the first and the last heartbeat. `sequence`: of the newest that changed the row, in
#: FACTS, so that replicas find what is new.
heartbeat = Table(
    "heartbeat",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("first_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Index("heartbeat_by_sequence", "sequence"),
)

#: Which accounts were given usage of an instance, and the environment in which what was sent for production counts.
#: `shard` is the account's; `first_at` and `last_at` of the events that it was given.
attribution = Table(
    "attribution",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("environment", Text, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("first_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
)

#: The audit of instances that were taken from an account.
instance_change = Table(
    "instance_change",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("instance", Text, nullable=False),
    Column("from_account", Text, nullable=False),
    Column("from_environment", Text, nullable=False),
    Column("to_account", Text),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Column(
        "kept_until", Date, comment="days up to this one could not be recomputed and keep what the installation brought"
    ),
)

#: The key under which erased people are recognised; made with the first erasure.
erasure_key = Table(
    "erasure_key",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
)

#: Who was erased, as a keyed digest of the id: enough to recognise it when it comes again, and nothing else. What of
#: stream `stream_uuid` was counted up to sequence `until` counts as the tombstone's.
erased = Table(
    "erased",
    metadata,
    Column("account", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("shard", SmallInteger, nullable=False),
    Column("tombstone", Text, nullable=False),
    Column("stream_uuid", Text),
    Column("until", BigInteger, nullable=False),
    Column("erased_at", DateTime(timezone=True), nullable=False),
    Index("erased_by_shard", "shard"),
)

#: An erasure, named after the subject of its fact. `user_id` is null as soon as nothing is left to do.
erasure = Table(
    "erasure",
    metadata,
    Column("id", Text, primary_key=True),
    Column("fact", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("user_id", Text),
    Column("state", Text, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("receipt", JSONB, nullable=False),
    Index("erasure_unfinished", "shard", postgresql_where=text("finished_at IS NULL")),
)

#: Messages that name an erased person and are to be replaced, or were: by them one knows which numbers are missing from
#: a stream for no other reason. `erasure`: the job that found them; empty for those that came after it. `copy`: the
#: sequence of the message that stands for it.
erased_message = Table(
    "erased_message",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("erasure", Text, primary_key=True),
    Column("shard", SmallInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("copy", BigInteger),
    Column("replaced", Boolean, nullable=False, server_default=text("false")),
    Index("erased_message_waiting", "shard", "stream", "sequence", postgresql_where=text("NOT replaced")),
)
