"""What alerting is told from outside. No decisions."""

import re
from datetime import time
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from uptake.settings import DatabaseSettings, Port, ServiceSettings


def _address(url: str) -> str:
    """As a browser takes it; what is appended begins with a slash."""
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        raise ValueError("must be an address such as https://uptake.example.com")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]


class AlertingSettings(ServiceSettings, DatabaseSettings):
    """`config_dir`: where `routes.yml` is; without it there is no channel.

    `tick_s`: how often the clock alone is asked, for trial days. `settle_s`: how long a new alert waits before anybody
    is told, so that a storm is seen first. `digest_at`: when digests go, on the clock of whom they are for.
    `public_url`, `metrics_public_url`: where people reach alerting and metrics; without them notices have no links.
    """

    http_port: Port = 8403
    config_dir: Path | None = None
    tick_s: float = Field(default=60, gt=0, le=3600)
    settle_s: float = Field(default=5, ge=0, le=600)
    digest_at: time = time(8)
    public_url: Address | None = None
    metrics_public_url: Address | None = None
