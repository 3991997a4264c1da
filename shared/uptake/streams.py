"""The six streams and the one durable consumer, as they must be. Only describes them; `provision` creates them."""

from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    ReplayPolicy,
    RetentionPolicy,
    StorageType,
    StoreCompression,
    StreamConfig,
    StreamInfo,
)

from uptake.subjects import ALERT, FACTS, KPI, RAW, REFUSED, USAGE

UUID_KEY = "uptake_uuid"  # in the stream's metadata: a stream that was wiped and made again has another one
RAW_CONSUMER = "ingestion"

_DAY_S = 86_400
_KIB, _MIB, _GIB = 2**10, 2**20, 2**30
MAX_ALERT_BYTES = 64 * _KIB  # headers included


def _stream(
    name: str,
    subjects: list[str],
    *,
    max_gib: int,
    max_msg_size: int = 1 * _MIB,  # the broker's own max_payload
    max_age_days: int = 0,  # 0: for ever
    per_subject: int = -1,
    discard: DiscardPolicy = DiscardPolicy.OLD,
    compression: StoreCompression = StoreCompression.S2,
    duplicate_window_s: float = 120,
    allow_direct: bool = False,
    allow_msg_ttl: bool | None = None,
) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=subjects,
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=1,
        max_consumers=-1,
        max_msgs=-1,
        max_bytes=max_gib * _GIB,
        max_msg_size=max_msg_size,
        max_age=max_age_days * _DAY_S,
        max_msgs_per_subject=per_subject,
        discard=discard,
        discard_new_per_subject=discard is DiscardPolicy.NEW and per_subject > 0,
        compression=compression,
        duplicate_window=duplicate_window_s,
        allow_direct=allow_direct,
        allow_msg_ttl=allow_msg_ttl,
    )


# The broker sets `max_bytes` aside in its books when a stream is created, and refuses what goes over its
# `max_file_store`; on disk a stream takes what it holds.
STREAMS: tuple[StreamConfig, ...] = (
    # Ids in the window are shared by all producers: as short as the broker allows, so that nobody suppresses another.
    _stream(RAW, ["raw.v1.>"], max_gib=2, max_age_days=7, discard=DiscardPolicy.NEW, duplicate_window_s=0.1),
    _stream(USAGE, ["usage.v1.*"], max_gib=20, max_age_days=45, discard=DiscardPolicy.NEW),
    _stream(
        FACTS,
        ["fact.v1.>"],
        max_gib=4,
        max_msg_size=64 * _KIB,
        per_subject=1,
        discard=DiscardPolicy.NEW,
        allow_direct=True,  # ingestion compares with the stored fact: duplicate or conflict
        allow_msg_ttl=True,  # of all facts, heartbeats alone are not kept for ever
    ),
    _stream(
        KPI,
        ["kpi.account.v1.*", "kpi.trial.v1.*", "kpi.team.v1", "kpi.instance.v1.*"],
        max_gib=4,
        max_msg_size=64 * _KIB,
        per_subject=40,
        compression=StoreCompression.NONE,
        allow_direct=True,
    ),
    _stream(
        ALERT,
        ["alert.v1.>"],
        max_gib=1,
        max_msg_size=MAX_ALERT_BYTES,
        max_age_days=90,
        compression=StoreCompression.NONE,
    ),
    _stream(REFUSED, ["refused.v1.>"], max_gib=1, max_age_days=30, allow_direct=True),
)

INGESTION_CONSUMER = ConsumerConfig(
    durable_name=RAW_CONSUMER,
    deliver_policy=DeliverPolicy.ALL,
    replay_policy=ReplayPolicy.INSTANT,
    ack_policy=AckPolicy.EXPLICIT,
    ack_wait=30,
    max_ack_pending=10_000,  # what all replicas may have in hand: some batches of single events each
    max_deliver=-1,  # a message leaves by an ack or by age, never because it was tried too often
)


def stream_uuid(info: StreamInfo) -> str | None:
    """The identity of the stream, or None when our provisioner did not create it."""
    return (info.config.metadata or {}).get(UUID_KEY)
