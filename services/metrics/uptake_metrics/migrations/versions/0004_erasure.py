"""Erased people: how they are recognised, the jobs that erase them, the messages that still name one."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
CREATE TABLE metrics.erasure_key (
    name text PRIMARY KEY, key bytea NOT NULL
);
CREATE TABLE metrics.erased (
    account text, digest bytea, shard smallint NOT NULL, tombstone text NOT NULL, stream_uuid text,
    until bigint NOT NULL, erased_at timestamptz NOT NULL, PRIMARY KEY (account, digest)
);
CREATE INDEX erased_by_shard ON metrics.erased (shard);
CREATE TABLE metrics.erasure (
    id text PRIMARY KEY, fact text NOT NULL, account text NOT NULL, shard smallint NOT NULL, user_id text,
    state text NOT NULL, asked_at timestamptz NOT NULL, finished_at timestamptz, receipt jsonb NOT NULL
);
CREATE INDEX erasure_unfinished ON metrics.erasure (shard) WHERE finished_at IS NULL;
CREATE TABLE metrics.erased_message (
    stream text, sequence bigint, erasure text, shard smallint NOT NULL, subject text NOT NULL,
    copy bigint, replaced boolean NOT NULL DEFAULT false, PRIMARY KEY (stream, sequence, erasure)
);
CREATE INDEX erased_message_waiting ON metrics.erased_message (shard, stream, sequence) WHERE NOT replaced
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
