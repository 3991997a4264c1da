"""The names of everything on the broker: streams, subjects, shards, tokens. Pure text, no connection."""

import hashlib
import re
from functools import lru_cache

RAW, USAGE, FACTS, KPI, ALERT, REFUSED = "RAW", "USAGE", "FACTS", "KPI", "ALERT", "REFUSED"
SHARDS = 16  # fixed when the USAGE stream is created: an account never changes its shard

_UNSAFE = re.compile(r"[^a-z0-9_-]+")


def token(name: str) -> str:
    """A subject token for any id: 128 bits of it, since ids may hold dots, blanks and wildcards."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def slug(text: str | None) -> str:
    """A readable subject token for a bounded word such as a region; `none` when there is none."""
    return _UNSAFE.sub("-", (text or "").lower()).strip("-")[:63] or "none"


@lru_cache(maxsize=65_536)  # asked for every event; a hostile producer can only make it miss
def shard_of(account: str) -> int:
    """The shard of an account (or of an instance that no account is known for)."""
    digest = hashlib.blake2b(account.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % SHARDS


def usage(shard: int) -> str:
    return f"usage.v1.{shard}"


def fact(event_type: str, source: str, event_id: str) -> str:
    key = token(f"{source}\0{event_id}")
    return f"fact.v1.{event_type}.{key}"


def refused(source: str, reason: str) -> str:
    return f"refused.v1.{source}.{reason}"


def kpi_account(account: str) -> str:
    return f"kpi.account.v1.{token(account)}"


def kpi_trial(opportunity: str) -> str:
    return f"kpi.trial.v1.{token(opportunity)}"


def kpi_instance(instance: str) -> str:
    return f"kpi.instance.v1.{token(instance)}"


def kpi_team() -> str:
    return "kpi.team.v1"


def alert(event: str, region: str | None, severity: str, rule: str, subject: str) -> str:
    return f"alert.v1.{event}.{slug(region)}.{severity}.{rule}.{token(subject)}"
