"""When the broker took the message that the cursor stands at."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE alerting.cursor ADD COLUMN stored_at timestamptz")
