"""Which rules all subjects were evaluated under, and one row an account that says how far it was folded."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = """
CREATE TABLE alerting.rule_in_force (name text PRIMARY KEY, fingerprint text NOT NULL);
INSERT INTO alerting.instance (rule, subject, state)
    SELECT '*', account, jsonb_build_object('day', max(day)) FROM alerting.sample GROUP BY account
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
