"""Where `rules.yml` is read, and what is wrong with a file. Decides nothing."""

from pathlib import Path

from uptake import config
from uptake.config import ConfigFile
from uptake_alerting.rules import Rules

FILE = "rules.yml"
SHIPPED = (Path(__file__).parent / "shipped" / FILE).read_text(encoding="utf-8")


class RulesFile(ConfigFile[Rules]):
    """The rules in force."""

    def __init__(self, path: Path | None, shipped: str = SHIPPED) -> None:
        super().__init__(path, Rules, shipped)


def check(config_dir: Path) -> list[str]:
    """What is wrong with the file in a folder, with its line."""
    return config.check(config_dir / FILE, Rules)
