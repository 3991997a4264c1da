"""Every service at its start: a wrong setting ends it with one line, what is meant for another one does not."""

import os
import subprocess
import sys

import pytest

from uptake_alerting.settings import AlertingSettings
from uptake_ingestion.app import IngestionSettings
from uptake_metrics.app import Settings as MetricsSettings

SERVICES = ("ingestion", "metrics", "alerting")
DATABASE = {"UPTAKE_DATABASE_URL": "postgresql+asyncpg://u:hunter2@127.0.0.1:1/d"}
NO_PORT = "UPTAKE_HTTP_PORT: Input should be less than or equal to 65535"
NO_ZONE = "UPTAKE_VENDOR_ZONE: is not an IANA time zone, such as Europe/Berlin"


@pytest.mark.parametrize(
    ("service", "setting", "said"),
    [
        *((service, {"UPTAKE_HTTP_PORT": "99999"}, NO_PORT) for service in SERVICES),
        ("metrics", {"UPTAKE_VENDOR_ZONE": "Europe/Berln"}, NO_ZONE),
        ("alerting", {"UPTAKE_CONFIG_DRI": "x"}, "UPTAKE_CONFIG_DRI is no setting: did you mean UPTAKE_CONFIG_DIR?"),
    ],
)
def test_a_wrong_setting_ends_a_service_with_a_line_that_names_it(service, setting, said):
    environment = os.environ | DATABASE | setting
    words = [sys.executable, "-m", f"uptake_{service}.app"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, f"uptake-{service}: {said}\n")


@pytest.mark.parametrize(
    ("settings", "others"),
    [
        (IngestionSettings, ("UPTAKE_CONFIG_DIR", "UPTAKE_TICK_S", "UPTAKE_VENDOR_ZONE", "UPTAKE_DATABASE_URL")),
        (MetricsSettings, ("UPTAKE_TICK_S", "UPTAKE_PRODUCER_KEYS_FILE")),
        (AlertingSettings, ("UPTAKE_VENDOR_ZONE", "UPTAKE_PRODUCER_KEYS_FILE")),
    ],
)
def test_a_service_starts_among_the_settings_of_others(settings, others, monkeypatch):
    for name, value in (DATABASE | dict.fromkeys(others, "x")).items():
        monkeypatch.setenv(name, value)
    assert 8401 <= settings().http_port <= 8403
    assert ("config_dir" in settings.model_fields) == (settings is not IngestionSettings)
