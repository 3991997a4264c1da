"""Under which configuration the published days of a shard were last evaluated."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("CREATE TABLE metrics.evaluated_under (shard smallint PRIMARY KEY, fingerprint text NOT NULL)")
