"""What metrics tells Prometheus about its own work. Labels are bounded words, never customers' ids."""

from prometheus_client import Counter, Gauge, Histogram

from uptake.telemetry import REGISTRY

EVENTS = Counter("uptake_metrics_events_total", "Usage events whose checkpoint was committed.", registry=REGISTRY)
NOT_COUNTED = Counter(
    "uptake_metrics_not_counted_total",
    "Usage events that are a sign of life only, by reason (actor, environment, feature, erased).",
    ["reason"],
    registry=REGISTRY,
)
USER_DAYS = Counter(
    "uptake_metrics_user_days_total",
    "User-days that were not known before, in total and by feature.",
    registry=REGISTRY,
)
FACTS = Counter("uptake_metrics_facts_total", "Facts whose transaction was committed.", registry=REGISTRY)
REJECTED = Counter(
    "uptake_metrics_rejected_total", "Messages put away to REFUSED, by stream.", ["stream"], registry=REGISTRY
)
REFUSED_EVENTS = Counter(
    "uptake_metrics_refused_events_total", "Stored usage events that nobody can count.", registry=REGISTRY
)
BOOKS = Gauge(
    "uptake_metrics_books_events",
    "Usage events of the last 45 days, by what the books say of them: accepted, stored, processed, refused.",
    ["tally"],
    registry=REGISTRY,
)
BALANCED = Gauge(
    "uptake_metrics_books_balanced", "1 when accepted = stored = processed + refused, else 0.", registry=REGISTRY
)
UNATTRIBUTED_INSTANCES = Gauge(
    "uptake_metrics_unattributed_instances",
    "Installations that have sent something for more than a day and that nobody has mapped to an account.",
    registry=REGISTRY,
)
WAITING_EVENTS = Gauge(
    "uptake_metrics_waiting_events",
    "Usage events that name an installation and have no account yet.",
    registry=REGISTRY,
)
LEASES = Gauge("uptake_metrics_leased_shards", "Shards of USAGE that this replica reads.", registry=REGISTRY)
COMMIT_SECONDS = Histogram(
    "uptake_metrics_commit_seconds",
    "From decoded messages to a committed checkpoint.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
    registry=REGISTRY,
)
CONFIG_GOOD = Gauge(
    "uptake_metrics_config_good",
    "1 when the newest content of a configuration file is in force, else 0.",
    ["file"],
    registry=REGISTRY,
)
LAG = Gauge("uptake_metrics_lag_messages", "Messages of a stream not counted yet.", ["stream"], registry=REGISTRY)
PUT_OFF = Counter(
    "uptake_metrics_put_off_total",
    "Accounts, trials and team quarters that could not be evaluated, and are tried again in five minutes.",
    ["error"],
    registry=REGISTRY,
)
SNAPSHOTS = Counter("uptake_metrics_snapshots_total", "KPI snapshots handed to NATS.", registry=REGISTRY)
STATE_BYTES = Gauge("uptake_metrics_state_bytes", "Memory of the rings and their books.", registry=REGISTRY)
