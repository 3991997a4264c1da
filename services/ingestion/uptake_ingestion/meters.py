"""The process numbers of ingestion. Labels are bounded words: never a subject, an account or a producer."""

from prometheus_client import Counter, Gauge, Histogram

from uptake.telemetry import REGISTRY

EVENTS = Counter(
    "uptake_ingestion_events", "Items decided, by door and outcome.", ["door", "outcome"], registry=REGISTRY
)
REFUSED = Counter("uptake_ingestion_refused", "Items refused, by reason.", ["reason"], registry=REGISTRY)
BATCH_EVENTS = Histogram(
    "uptake_ingestion_batch_events",
    "Events in a batch of usage when it left.",
    buckets=(1, 5, 10, 25, 50, 100, 250, 500),
    registry=REGISTRY,
)
PUBLISH_SECONDS = Histogram(
    "uptake_ingestion_publish_seconds",
    "From sending a message to the broker's word that it is stored.",
    ["stream"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
    registry=REGISTRY,
)
NOT_STORED = Counter(
    "uptake_ingestion_not_stored", "Times that a door had to say: not now, send it again.", ["door"], registry=REGISTRY
)
OVERLOADED = Counter("uptake_ingestion_overloaded", "Requests answered 429.", registry=REGISTRY)
IN_FLIGHT_BYTES = Gauge("uptake_ingestion_in_flight_bytes", "Bytes of requests being worked on.", registry=REGISTRY)
RAW_PENDING = Gauge(
    "uptake_ingestion_raw_pending", "Messages in RAW that ingestion has not taken yet.", registry=REGISTRY
)
