"""What the published days were judged by, to tell which of them a change can reach; and refused events by their age."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("ALTER TABLE metrics.evaluated_under ADD COLUMN content text NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX not_counted_by_day ON metrics.not_counted (day)")
