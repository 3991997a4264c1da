"""Which letter a notice goes in, alone or with others. What was tried before is a letter of its own."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = """
ALTER TABLE alerting.delivery ADD COLUMN letter text;
COMMENT ON COLUMN alerting.delivery.letter IS 'what it goes in, alone or with others; null: never tried';
UPDATE alerting.delivery SET letter = id WHERE attempts > 0;
CREATE INDEX delivery_by_letter ON alerting.delivery (letter) WHERE status IN ('pending', 'sending');
CREATE INDEX delivery_by_digest ON alerting.delivery (digest) WHERE digest IS NOT NULL
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        op.execute(statement)
