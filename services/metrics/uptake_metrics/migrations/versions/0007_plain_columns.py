"""Deltas are stored as they are: to try to compress them took a fifth of a checkpoint, and they live for minutes."""

from alembic import op

revision = "0007"
down_revision = "0006"

COLUMNS = {"activity_delta": ("series", '"user"', "day"), "ledger_delta": ("series", "events")}


def upgrade() -> None:
    for table, columns in COLUMNS.items():
        for column in columns:
            op.execute(f"ALTER TABLE metrics.{table} ALTER COLUMN {column} SET STORAGE EXTERNAL")
