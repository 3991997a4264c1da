"""Who may do what on the local broker. Pure: roles and passwords in, nats-server configuration out.

Only the provisioner manages and copies streams. A service publishes its own subjects and reads the streams it needs.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from uptake.subjects import ALERT, FACTS, KPI, RAW, REFUSED, USAGE

SERVICE_ROLES = ("provisioner", "ingestion", "metrics", "alerting")
_INFO = ("$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.>")


def authorization(passwords: Mapping[str, str], producer: str, producer_key: str) -> dict[str, Any]:
    """The configuration's part about users. `passwords` by role; the producer's password is its key."""
    publish = _publish_rights()
    users = [_user(role, passwords[role], publish[role]) for role in SERVICE_ROLES]
    users.append(_user("producer", producer_key, [f"raw.v1.{producer}.>"]))
    # Whoever connects without a name. The password is empty and of no use: the port listens on loopback only.
    users.append(_user("local", "", publish["local"], ["kpi.>", "alert.>"]))
    return {"authorization": {"users": users}, "no_auth_user": "local"}


def _publish_rights() -> dict[str, list[str]]:
    """A request to JetStream is a publish, so reading is granted here too."""
    return {
        "provisioner": ["$JS.API.>", "$JS.SNAPSHOT.>"],  # it also copies whole streams, for a backup
        "ingestion": ["usage.v1.>", "fact.v1.>", "refused.v1.>", *_INFO, *_consume(RAW), *_get(FACTS)],
        "metrics": [
            *("kpi.>", "refused.v1.>", *_INFO),
            *(*_consume(USAGE, FACTS), *_get(USAGE, FACTS, KPI)),
            # To erase a person: what names them is found, stored again without them, and deleted.
            *("usage.v1.*", "fact.v1.user.linked.*", "fact.v1.user.unlinked.*"),
            *(*_search(RAW, REFUSED), *_get(RAW, REFUSED)),
            *(f"$JS.API.STREAM.MSG.DELETE.{stream}" for stream in (USAGE, FACTS, RAW, REFUSED)),
        ],
        "alerting": ["alert.v1.>", "refused.v1.>", *_INFO, *_consume(KPI), *_get(KPI)],
        "local": ["raw.v1.>", "$JS.FC.>", *_INFO, *_consume(*_READABLE), *_get(*_READABLE)],
    }


_READABLE = (KPI, ALERT, REFUSED, USAGE, FACTS)


def _consume(*streams: str) -> Iterable[str]:
    for stream in streams:
        yield f"$JS.API.CONSUMER.CREATE.{stream}"
        yield from (f"$JS.API.CONSUMER.{verb}.{stream}" for verb in ("NAMES", "LIST"))
        verbs = ("CREATE", "DURABLE.CREATE", "INFO", "DELETE", "MSG.NEXT")
        yield from (f"$JS.API.CONSUMER.{verb}.{stream}.>" for verb in verbs)
        yield f"$JS.ACK.{stream}.>"


def _search(*streams: str) -> Iterable[str]:
    """To read without acknowledging anything, by a consumer that goes with its reader."""
    for stream in streams:
        yield f"$JS.API.CONSUMER.CREATE.{stream}"
        yield from (f"$JS.API.CONSUMER.{verb}.{stream}.>" for verb in ("CREATE", "INFO", "DELETE", "MSG.NEXT"))


def _get(*streams: str) -> Iterable[str]:
    for stream in streams:
        yield from (f"$JS.API.{verb}.{stream}" for verb in ("STREAM.MSG.GET", "DIRECT.GET"))
        yield f"$JS.API.DIRECT.GET.{stream}.>"


def _user(name: str, password: str, publish: list[str], subscribe: Iterable[str] = ()) -> dict[str, Any]:
    permissions = {"publish": publish, "subscribe": ["_INBOX.>", *subscribe]}
    return {"user": name, "password": password, "permissions": permissions}
