"""Notices are planned from what an episode is: handling, gates, silences, digests, and what channels answered."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = """
CREATE TABLE alerting.subject_snapshot (
    kind text, subject text, revision bigint NOT NULL, snapshot jsonb NOT NULL, PRIMARY KEY (kind, subject)
);
ALTER TABLE alerting.episode
    ADD COLUMN account text,
    ADD COLUMN severity text NOT NULL DEFAULT 'warning',
    ADD COLUMN look_at timestamptz,
    ADD COLUMN acked_by text,
    ADD COLUMN acked_at timestamptz,
    ADD COLUMN ack_until timestamptz,
    ADD COLUMN snoozed_until timestamptz,
    ADD COLUMN assignee text,
    ADD COLUMN gates jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN escalation integer NOT NULL DEFAULT 0,
    ADD COLUMN route jsonb;
UPDATE alerting.episode SET account = data->>'account', severity = data->>'severity',
    look_at = CASE WHEN ended_at IS NULL THEN now() END;
COMMENT ON COLUMN alerting.episode.look_at IS 'when its notices are planned again';
COMMENT ON COLUMN alerting.episode.gates IS 'why nothing goes out now';
COMMENT ON COLUMN alerting.episode.escalation IS 'the level that was reached';
COMMENT ON COLUMN alerting.episode.route IS 'how its recipients were chosen';
CREATE INDEX episode_to_look_at ON alerting.episode (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX episode_of_account ON alerting.episode (account) WHERE ended_at IS NULL;
ALTER TABLE alerting.alert_event ADD COLUMN by text, ADD COLUMN note text;
COMMENT ON COLUMN alerting.alert_event.by IS 'who did it, where a person did';
ALTER TABLE alerting.delivery
    ALTER COLUMN episode DROP NOT NULL,
    ALTER COLUMN event DROP NOT NULL,
    ADD COLUMN sequence integer NOT NULL DEFAULT 0,
    ADD COLUMN person text,
    ADD COLUMN reference jsonb,
    ADD COLUMN digest text,
    ADD COLUMN content jsonb;
COMMENT ON COLUMN alerting.delivery.episode IS 'null: a digest, or a notice to operators';
COMMENT ON COLUMN alerting.delivery.kind IS 'trigger, update, reminder, escalation, terminal, digest, operator';
COMMENT ON COLUMN alerting.delivery.sequence IS 'which update or reminder it is';
COMMENT ON COLUMN alerting.delivery.person IS 'whom it is for; null: whoever reads the channel';
COMMENT ON COLUMN alerting.delivery.status IS 'collected, pending, sending, delivered, failed, skipped';
COMMENT ON COLUMN alerting.delivery.reference IS 'what the channel gave us to edit, thread or resolve it by';
COMMENT ON COLUMN alerting.delivery.digest IS 'the delivery of the digest that carries it';
COMMENT ON COLUMN alerting.delivery.content IS 'what a notice without an event says';
CREATE INDEX delivery_collected ON alerting.delivery (person, channel) WHERE status = 'collected';
CREATE TABLE alerting.silence (
    id text PRIMARY KEY, matchers jsonb NOT NULL, created_by text NOT NULL, comment text NOT NULL,
    created_at timestamptz NOT NULL, starts_at timestamptz NOT NULL, ends_at timestamptz NOT NULL, expired_by text
);
COMMENT ON COLUMN alerting.silence.expired_by IS 'who ended it early';
CREATE TABLE alerting.breaker (
    rule text, tripped_at timestamptz, until timestamptz NOT NULL, breaching integer NOT NULL,
    accounts integer NOT NULL, released_at timestamptz, released_by text, PRIMARY KEY (rule, tripped_at)
);
CREATE UNIQUE INDEX breaker_tripped ON alerting.breaker (rule) WHERE released_at IS NULL;
CREATE TABLE alerting.weekly (person text, week date, PRIMARY KEY (person, week));
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)
