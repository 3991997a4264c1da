"""The files of DIR/config that metrics follows: policies, activity, use cases. It knows which there are.

Each is looked up at every access, so that a changed file counts at once, and a bad one leaves the last good in force.
No process remembers that of the one before: whoever begins with a bad file has to wait until it is mended.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

from uptake import config
from uptake.config import ConfigFile
from uptake.section import Section
from uptake_metrics import meters
from uptake_metrics.activity import ActivityPolicy
from uptake_metrics.policies import Policies
from uptake_metrics.use_cases import UseCases

_SHIPPED = Path(__file__).parent / "shipped"
_CONTENT: dict[str, type[Section]] = {
    "policies.yml": Policies,
    "activity.yml": ActivityPolicy,
    "use_cases.yml": UseCases,
}

Content = TypeVar("Content", bound=Section)


class Config:
    """What is in force now. `config_dir` null: what is shipped, for ever."""

    def __init__(self, config_dir: Path | None) -> None:
        def file(name: str, content_class: type[Content]) -> ConfigFile[Content]:
            shipped = (_SHIPPED / name).read_text(encoding="utf-8")
            return ConfigFile(config_dir and config_dir / name, content_class, shipped)

        self._policies = file("policies.yml", Policies)
        self._activity = file("activity.yml", ActivityPolicy)
        self._use_cases = file("use_cases.yml", UseCases)
        self._files: dict[str, ConfigFile[Any]] = {
            "policies": self._policies,
            "activity": self._activity,
            "use_cases": self._use_cases,
        }

    @property
    def policies(self) -> Policies:
        return self._policies.current()

    @property
    def activity(self) -> ActivityPolicy:
        return self._activity.current()

    @property
    def use_cases(self) -> UseCases:
        return self._use_cases.current()

    @property
    def version(self) -> int:
        """Rises with any change of content."""
        self._look()
        return sum(file.version for file in self._files.values())

    def fingerprint(self) -> str:
        """The same for the same content, in any process and after any restart."""
        contents = [file.current().model_dump() for file in self._files.values()]
        return hashlib.sha256(json.dumps(contents, sort_keys=True, default=_plain).encode()).hexdigest()

    def write_defaults(self) -> None:
        """The commented files as shipped, where there are none yet."""
        for file in self._files.values():
            file.write_default()
        self._look()

    def problems(self) -> list[str]:
        """File and line of everything that keeps a file from being in force."""
        self._look()
        return [file.error for file in self._files.values() if file.error]

    def unsettled(self) -> str | None:
        """Why no day may be judged yet."""
        self._look()
        return config.unsettled(self._files.values())

    def _look(self) -> None:
        for name, file in self._files.items():
            file.current()
            meters.CONFIG_GOOD.labels(name).set(file.error is None)


def shipped_policies() -> Policies:
    return config.parse((_SHIPPED / "policies.yml").read_text(encoding="utf-8"), Policies)


def check(config_dir: Path) -> list[str]:
    """What is wrong with the files in a folder, each with its file and line. One that is not there is as shipped."""
    return [problem for name, content in _CONTENT.items() for problem in config.check(config_dir / name, content)]


def _plain(value: Any) -> Any:
    """A set has another order in each process."""
    return sorted(value) if isinstance(value, frozenset) else str(value)
