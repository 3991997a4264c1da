"""Finds the running Uptake: its addresses and its producer key. Reads files and the environment, never the network."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from uptake_cli.problems import Refused, Unreachable

Service = Literal["ingestion", "metrics", "alerting"]
SERVICES: tuple[Service, ...] = ("ingestion", "metrics", "alerting")
DEFAULT_DATA = "~/.local/share/uptake"


@dataclass(frozen=True, slots=True)
class Instance:
    """One running Uptake. The key is read when it is needed: questions need none."""

    urls: Mapping[str, str]
    key_path: Path
    data: Path

    def url(self, service: Service) -> str:
        if service not in self.urls:
            raise Unreachable(f"{_nothing_at(self.data)} Or set UPTAKE_{service.upper()}_URL.")
        return self.urls[service]

    def key(self) -> str:
        try:
            return self.key_path.read_text().strip()
        except OSError as error:
            raise Refused(
                f"Cannot read the producer key {self.key_path}: {error.strerror}. "
                "Name the data folder with --data, or the key file with UPTAKE_PRODUCER_KEY_FILE."
            ) from None


def data_folder(data: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that is meant: `data`, else UPTAKE_DATA, else the default place."""
    return (data or Path(environment.get("UPTAKE_DATA") or DEFAULT_DATA)).expanduser()


def find(data: Path | None, environment: Mapping[str, str] = os.environ) -> Instance:
    """The instance at `data`, else at UPTAKE_DATA, else at the default place. UPTAKE_<SERVICE>_URL beats its file."""
    folder = data_folder(data, environment)
    urls = _urls_in(folder / "instance.json")
    for service in SERVICES:
        if explicit := environment.get(f"UPTAKE_{service.upper()}_URL"):
            urls[service] = explicit.rstrip("/")
    key_file = environment.get("UPTAKE_PRODUCER_KEY_FILE")
    return Instance(urls, Path(key_file).expanduser() if key_file else folder / "producer.key", folder)


def _urls_in(file: Path) -> dict[str, str]:
    try:
        urls = json.loads(file.read_text())["urls"]
        return {str(service): str(url).rstrip("/") for service, url in urls.items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Unreachable(f"Cannot read {file}: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Unreachable(
            f"{file} does not describe a running instance. Start one anew: {to_copy('up', file.parent)}"
        ) from None


def _nothing_at(folder: Path) -> str:
    return f"Nothing runs at {folder}. Start it with `{to_copy('up', folder)}`, or name another folder with --data."


def to_copy(command: Literal["up", "uptake"], folder: Path) -> str:
    """The start of a line to copy that works on `folder` from wherever it is copied to."""
    if folder.resolve() == Path(DEFAULT_DATA).expanduser().resolve():
        return f"./dev {command}"
    return f"./dev {command} --data {shlex.quote(str(folder.resolve()))}"
