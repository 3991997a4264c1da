"""Shards divided among replicas, the ledger of events, facts told apart by their subject."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = """
ALTER TABLE metrics.cursor ADD COLUMN stored_at timestamptz;
ALTER TABLE metrics.shard ADD COLUMN stored_at timestamptz, ADD COLUMN folded bigint NOT NULL DEFAULT 0,
    ADD COLUMN restarted_at timestamptz;
UPDATE metrics.shard SET folded = checkpoint;
CREATE TABLE metrics.replica (
    id text PRIMARY KEY, seen_at timestamptz NOT NULL
);
CREATE TABLE metrics.lease (
    name text PRIMARY KEY, holder text
);
INSERT INTO metrics.lease (name) SELECT 'usage.' || generate_series(0, 15);
INSERT INTO metrics.lease (name) VALUES ('lead');
CREATE TABLE metrics.ledger_delta (
    shard smallint, checkpoint bigint, hour integer, stored bigint NOT NULL, processed bigint NOT NULL,
    series bytea NOT NULL, events bytea NOT NULL, PRIMARY KEY (shard, checkpoint, hour)
);
CREATE TABLE metrics.ledger_hour (
    shard smallint, hour integer, stored bigint NOT NULL, processed bigint NOT NULL, series bytea NOT NULL,
    events bytea NOT NULL,
    PRIMARY KEY (shard, hour)
);
CREATE TABLE metrics.ledger_refused (
    hour integer, source text, events bigint NOT NULL, PRIMARY KEY (hour, source)
);
CREATE TABLE metrics.writer (
    shard smallint, writer text, stored bigint NOT NULL, missing bigint NOT NULL, seen_at timestamptz NOT NULL,
    PRIMARY KEY (shard, writer)
);
ALTER TABLE metrics.dirty ADD COLUMN shard smallint;
ALTER TABLE metrics.fact ADD COLUMN subject text
"""
AFTER = """
ALTER TABLE metrics.dirty ALTER COLUMN shard SET NOT NULL;
ALTER TABLE metrics.fact DROP CONSTRAINT fact_pkey, ADD PRIMARY KEY (subject);
CREATE INDEX fact_by_sequence ON metrics.fact (sequence)
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
    _place_work()
    _name_facts()
    for statement in AFTER.split(";\n"):
        op.execute(statement)


def _place_work() -> None:
    """Each subject belongs to the shard of its name, which SQL cannot compute."""
    connection = op.get_bind()
    subjects = connection.execute(sa.text("SELECT DISTINCT subject FROM metrics.dirty")).scalars().all()
    for subject in subjects:
        digest = hashlib.blake2b(subject.partition(":")[2].encode(), digest_size=8).digest()
        connection.execute(
            sa.text("UPDATE metrics.dirty SET shard = :shard WHERE subject = :subject"),
            {"shard": int.from_bytes(digest, "little") % 16, "subject": subject},
        )


def _name_facts() -> None:
    """Each fact by the subject it has in FACTS: a hash of what its body says."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text("SELECT sequence, type, body->>'source', body->'event'->>'id' FROM metrics.fact")
    ).all()
    for sequence, kind, source, event_id in rows:
        token = hashlib.blake2b(f"{source}\0{event_id}".encode(), digest_size=16).hexdigest()
        connection.execute(
            sa.text("UPDATE metrics.fact SET subject = :subject WHERE sequence = :sequence"),
            {"subject": f"fact.v1.{kind}.{token}", "sequence": sequence},
        )
