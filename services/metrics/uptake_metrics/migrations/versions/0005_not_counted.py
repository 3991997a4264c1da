"""What the activity policy refused, as numbers of events only."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE metrics.not_counted (
            account text, day date, reason text, events bigint NOT NULL, PRIMARY KEY (account, day, reason)
        )""")
