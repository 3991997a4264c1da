from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from uptake.settings import BrokerSettings, DatabaseSettings, HttpSettings, Settings, SettingsError

URL = "postgresql+asyncpg://u:hunter2@127.0.0.1/d"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPTAKE_NATS_URL", "nats://broker:4222")
    monkeypatch.setenv("UPTAKE_NATS_USER", "")  # how a compose file passes what is not set
    monkeypatch.setenv("UPTAKE_NATS_PASSWORD", "hunter2")
    settings = BrokerSettings()
    assert (settings.nats_url, settings.nats_user) == ("nats://broker:4222", None)
    assert settings.nats_password == SecretStr("hunter2")
    assert "hunter2" not in repr(settings)


def test_a_secret_comes_from_a_file_without_its_last_line_break(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "url"
    secret.write_text(URL + "\n")
    monkeypatch.setenv("UPTAKE_DATABASE_URL_FILE", str(secret))
    assert DatabaseSettings().database_url == SecretStr(URL)


@pytest.mark.parametrize(
    ("settings", "environment", "said"),
    [
        (HttpSettings, {}, "UPTAKE_HTTP_PORT: Field required"),
        (HttpSettings, {"UPTAKE_HTTP_PORT": "x"}, "UPTAKE_HTTP_PORT: Input should be a valid integer"),
        (HttpSettings, {"UPTAKE_HTTP_PORT": "70000"}, "UPTAKE_HTTP_PORT: Input should be less than or equal to 65535"),
        (
            DatabaseSettings,
            {"UPTAKE_DATABASE_URL": "mysql://u:hunter2@h/d"},
            "UPTAKE_DATABASE_URL: must be postgresql+asyncpg://",
        ),
        (
            DatabaseSettings,
            {"UPTAKE_DATABASE_URL_FILE": "/no/such"},
            "UPTAKE_DATABASE_URL_FILE: /no/such cannot be read",
        ),
        (
            DatabaseSettings,
            {"UPTAKE_DATABASE_URL_FILE": "/no/such", "UPTAKE_DATABASE_URL": URL},
            "UPTAKE_DATABASE_URL and UPTAKE_DATABASE_URL_FILE are both set",
        ),
        (BrokerSettings, {"UPTAKE_NATS_URL": "http://h"}, "UPTAKE_NATS_URL: String should match"),
        (BrokerSettings, {"UPTAKE_NATS_URL": "nats://u:hunter2@h"}, "UPTAKE_NATS_URL: String should match"),
        (BrokerSettings, {"UPTAKE_NATS_ULR": "x"}, "UPTAKE_NATS_ULR is no setting: did you mean UPTAKE_NATS_URL?"),
        (BrokerSettings, {"UPTAKE_NATS_PASSWORD_FLIE": "x"}, "did you mean UPTAKE_NATS_PASSWORD_FILE?"),
    ],
)
def test_a_wrong_setting_is_named_and_shown_to_nobody(
    monkeypatch: pytest.MonkeyPatch, settings: type[Settings], environment: dict[str, Any], said: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        settings()
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_settings_of_other_services_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UPTAKE_DATA", "UPTAKE_PRODUCER_KEYS_FILE", "UPTAKE_HTTP_PORT", "UPTAKE_DATABASE_URL_FILE"):
        monkeypatch.setenv(name, "x")
    assert BrokerSettings().nats_user is None


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(SettingsError):
        BrokerSettings(nats_ulr="nats://h")  # type: ignore[call-arg]  # the mistake this is about
