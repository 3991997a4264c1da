"""One YAML file of DIR/config: read into a pydantic class, errors with their line, and the last good version kept.

Knows no content. Refused values are never repeated in an error: they may be secrets.
"""

from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

_log = structlog.get_logger(__name__)


class InvalidConfig(ValueError):
    """Names the line of the file and what is wrong there, but never a value."""


class Section(BaseModel):
    """A part of a file: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


Content = TypeVar("Content", bound=Section)


def parse(text: str, content_class: type[Content]) -> Content:
    """An empty file has every default. Raises `InvalidConfig`."""
    try:
        node, content = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise InvalidConfig(f"line {line}: not YAML: {getattr(error, 'problem', 'unreadable')}") from None
    if (double := _double_key(node)) is not None:
        raise InvalidConfig(f"line {double.start_mark.line + 1}: {double.value} stands twice")
    try:
        return content_class.model_validate({} if content is None else content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidConfig(f"line {_line(node, first['loc'])}: {where}: {first['msg']}") from None


class ConfigFile(Generic[Content]):
    """What is in force. `current()` looks at the file each time: a `stat` is cheap, and no watcher can die."""

    def __init__(self, path: Path | None, content_class: type[Content], shipped: str) -> None:
        """`shipped`: the commented file that holds until there is another one; `path` null: for ever."""
        self.path = path
        self.error: str | None = None
        self.version = 0  # rises with each new content
        self._class = content_class
        self._shipped = shipped
        self._content = parse(shipped, content_class)
        self._seen: tuple[int, int, int] | None = None

    def write_default(self) -> None:
        """The commented default, for its owner's eyes only, since people put secrets into such files."""
        if self.path is not None and not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
            self.path.write_text(self._shipped, encoding="utf-8")

    def current(self) -> Content:
        """The newest good content."""
        if self.path is None:
            return self._content
        try:
            stat = self.path.stat()
            version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if version == self._seen:
                return self._content
            self._seen = version
            content = parse(self.path.read_text(encoding="utf-8"), self._class)
        except (OSError, ValueError) as error:
            self._keep(f"{self.path}: {error}")
            return self._content
        self.error = None
        if content != self._content:
            self.version += 1
        self._content = content
        _log.info("configuration loaded", file=str(self.path))
        return content

    def _keep(self, problem: str) -> None:
        if problem != self.error:
            _log.error("configuration not loaded, the last good one stays in force", problem=problem)
        self.error = problem


def _double_key(node: yaml.Node | None) -> yaml.Node | None:
    """YAML would silently take the last one, such as the shipped `channels: {}` below one's own channels."""
    if not isinstance(node, yaml.MappingNode):
        return None
    seen: set[str] = set()
    pairs: list[tuple[yaml.Node, yaml.Node]] = node.value
    for key, value in pairs:
        if key.value in seen:
            return key
        seen.add(key.value)
        if (found := _double_key(value)) is not None:
            return found
    return None


def _line(node: yaml.Node | None, location: tuple[Any, ...]) -> int:
    """The line of the deepest key of `location` that the file has."""
    line = node.start_mark.line + 1 if node is not None else 1
    for step in location:
        found = _child(node, step)
        if found is None:
            continue  # pydantic names the chosen class of a union too; the file does not
        line, node = found
    return line


def _child(node: yaml.Node | None, step: Any) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((k.start_mark.line + 1, v) for k, v in node.value if k.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    return None
