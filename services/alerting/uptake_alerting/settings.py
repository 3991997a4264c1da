"""What alerting is told from outside. No decisions."""

from pydantic import Field

from uptake.settings import DatabaseSettings, ServiceSettings


class AlertingSettings(ServiceSettings, DatabaseSettings):
    """`tick_s`: how often the clock alone is asked, for trial days and for alerts that reached nobody."""

    http_port: int = Field(default=8403, ge=0, le=65535)
    tick_s: float = Field(default=60, gt=0, le=3600)
