"""What a process is told from outside: `UPTAKE_` and the setting's name, or a file for a secret. Never argv."""

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "UPTAKE_"
Port = Annotated[int, Field(ge=0, le=65535)]  # 0: any free one


class SettingsError(ValueError):
    """A setting is missing, misspelt or wrong. The text names it, says what is expected and shows no secret."""


class Settings(BaseSettings):
    """Settings of one process, read once at its start."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # a compose file passes what is not set as an empty text
        extra="forbid",
        frozen=True,
    )

    def __init__(self, **values: Any) -> None:
        _refuse_misspelt(type(self))
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_in_words(error)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls)


class _SecretFiles(PydanticBaseSettingsSource):
    """`UPTAKE_<SECRET>_FILE` names a file that holds the secret; a last line break does not belong to it."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        variable = _variable(field_name)
        path = os.environ.get(f"{variable}_FILE")
        if not path or not _is_secret(field):
            return None, field_name, False
        if os.environ.get(variable):
            raise SettingsError(f"{variable} and {variable}_FILE are both set: keep one")
        try:
            return Path(path).read_text().rstrip("\r\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{variable}_FILE: {path} cannot be read ({error})") from None

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _variable(field_name: str) -> str:
    return f"{PREFIX}{field_name.upper()}"


def _refuse_misspelt(settings: type[BaseSettings]) -> None:
    """Other services' settings may be around too, so only a near miss of one of ours is surely a mistake."""
    known = {_variable(name) for name in settings.model_fields}
    known |= {f"{_variable(name)}_FILE" for name, field in settings.model_fields.items() if _is_secret(field)}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            meant = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
            if meant:
                raise SettingsError(f"{name} is no setting: did you mean {meant[0]}?")


def _in_words(error: ValidationError) -> str:
    # The wrong input is left out: it may be a secret.
    said = [
        (_variable(str(item["loc"][0])), item["msg"].removeprefix("Value error, "))
        for item in error.errors(include_url=False)
    ]
    return "; ".join(f"{variable}: {problem}" for variable, problem in said)


def _asyncpg_address(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith("postgresql+asyncpg://"):
        raise ValueError("must be postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DATABASE")
    return url


class BrokerSettings(Settings):
    nats_url: str = Field(default="nats://127.0.0.1:4222", pattern=r"^(nats|tls)://[^@\s]+$")  # no password in it
    nats_user: str | None = None
    nats_password: SecretStr | None = None


class HttpSettings(Settings):
    http_host: str = "127.0.0.1"
    http_port: Port


class DatabaseSettings(Settings):
    database_url: Annotated[SecretStr, AfterValidator(_asyncpg_address)]


class ServiceSettings(BrokerSettings, HttpSettings):
    """What every service has; a service adds its own and gives `http_port` a default."""

    log_format: Literal["console", "json"] = "console"
