"""What alerting is told from outside. No decisions."""

from pathlib import Path

from pydantic import Field

from uptake.settings import DatabaseSettings, Port, ServiceSettings


class AlertingSettings(ServiceSettings, DatabaseSettings):
    """`config_dir`: where `routes.yml` is; without it there is no channel.

    `tick_s`: how often the clock alone is asked, for trial days and for alerts that reached nobody.
    """

    http_port: Port = 8403
    config_dir: Path | None = None
    tick_s: float = Field(default=60, gt=0, le=3600)
