"""What is kept of a refused item."""

import base64
from datetime import UTC, datetime
from typing import get_args

import pytest

from uptake_ingestion.intake import Reason, Refused
from uptake_ingestion.refusals import MAX_BODY_BYTES, refusal

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "body", "is_base64"),
    [
        (b'{"id": "\\ud800"}', '{"id": "\\ud800"}', False),
        ("Žofie\x00".encode(), "Žofie\x00", False),
        (b"\xff\xfe", base64.b64encode(b"\xff\xfe").decode(), True),
        (b"", "", False),
    ],
)
def test_an_item_is_kept_as_it_came(raw, body, is_base64):
    kept = refusal("crm", Refused("not_json", "why", "e1"), raw, NOW)
    assert (kept.body, kept.body_is_base64, kept.event_id, kept.detail) == (body, is_base64, "e1", "why")
    assert kept.model_validate_json(kept.model_dump_json()) == kept


def test_of_a_huge_item_the_beginning_is_kept_and_the_detail_says_so():
    kept = refusal("crm", Refused("too_large", "why"), b"\x01" * (MAX_BODY_BYTES + 1), NOW)
    assert len(kept.body) == MAX_BODY_BYTES
    assert kept.detail == "why (the first 65536 of 65537 bytes are kept)"
    assert len(kept.model_dump_json()) < 512 * 1024


def test_every_reason_can_stand_in_a_subject():
    for reason in get_args(Reason):
        assert refusal("crm", Refused(reason, "why"), b"", NOW).reason == reason
