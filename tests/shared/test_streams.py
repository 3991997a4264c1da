"""The limits of the streams are promises: how long what is kept, and that nothing accepted is dropped in silence."""

import pytest
from nats.js.api import DiscardPolicy, StorageType, StoreCompression, StreamInfo, StreamState

from uptake.streams import INGESTION_CONSUMER, STREAMS, UUID_KEY, stream_uuid

DAY_S = 86_400
BY_NAME = {stream.name: stream for stream in STREAMS}


@pytest.mark.parametrize(
    ("name", "subjects", "days", "per_subject", "discard"),
    [
        ("RAW", ["raw.v1.>"], 7, -1, DiscardPolicy.NEW),
        ("USAGE", ["usage.v1.*"], 45, -1, DiscardPolicy.NEW),
        ("FACTS", ["fact.v1.>"], 0, 1, DiscardPolicy.NEW),
        ("KPI", ["kpi.account.v1.*", "kpi.trial.v1.*", "kpi.team.v1", "kpi.instance.v1.*"], 0, 40, DiscardPolicy.OLD),
        ("ALERT", ["alert.v1.>"], 90, -1, DiscardPolicy.OLD),
        ("REFUSED", ["refused.v1.>"], 30, -1, DiscardPolicy.OLD),
    ],
)
def test_each_stream_keeps_what_the_table_says(
    name: str, subjects: list[str], days: int, per_subject: int, discard: DiscardPolicy
) -> None:
    stream = BY_NAME[name]
    assert stream.subjects == subjects
    assert stream.max_age == days * DAY_S
    assert stream.max_msgs_per_subject == per_subject
    assert stream.discard is discard
    assert stream.discard_new_per_subject is (name == "FACTS")


def test_every_stream_is_on_disk_within_explicit_limits() -> None:
    assert len(STREAMS) == 6
    for stream in STREAMS:
        assert stream.storage is StorageType.FILE
        assert stream.max_bytes is not None
        assert 0 < stream.max_bytes <= 20 * 2**30
        assert stream.max_msg_size is not None
        assert 0 < stream.max_msg_size <= 2**20
        assert stream.duplicate_window > 0
    assert {stream.name for stream in STREAMS if stream.compression is StoreCompression.S2} == {
        "RAW",
        "USAGE",
        "FACTS",
        "REFUSED",
    }


def test_ingestion_never_gives_a_message_up() -> None:
    assert (INGESTION_CONSUMER.durable_name, INGESTION_CONSUMER.max_deliver) == ("ingestion", -1)


@pytest.mark.parametrize(("metadata", "uuid"), [({UUID_KEY: "x"}, "x"), ({}, None), (None, None)])
def test_a_stream_is_known_by_its_uuid(metadata: dict[str, str] | None, uuid: str | None) -> None:
    state = StreamState(messages=0, bytes=0, first_seq=0, last_seq=0, consumer_count=0)
    config = STREAMS[0].evolve(metadata=metadata)
    assert stream_uuid(StreamInfo(config=config, state=state)) == uuid
