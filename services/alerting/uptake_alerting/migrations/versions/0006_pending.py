"""An event may be of a condition that has no episode yet."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE alerting.alert_event ALTER COLUMN episode DROP NOT NULL")
    op.execute("COMMENT ON COLUMN alerting.alert_event.episode IS 'null: it is pending, and none has begun'")
