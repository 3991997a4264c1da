"""What alerting is told from outside. No decisions."""

from datetime import time
from pathlib import Path

from pydantic import Field

from uptake.settings import DatabaseSettings, Port, ServiceSettings


class AlertingSettings(ServiceSettings, DatabaseSettings):
    """`config_dir`: where `routes.yml` is; without it there is no channel.

    `tick_s`: how often the clock alone is asked, for trial days. `settle_s`: how long a new alert waits before anybody
    is told, so that a storm is seen first. `digest_at`: when digests go, on the clock of whom they are for.
    """

    http_port: Port = 8403
    config_dir: Path | None = None
    tick_s: float = Field(default=60, gt=0, le=3600)
    settle_s: float = Field(default=5, ge=0, le=600)
    digest_at: time = time(8)
