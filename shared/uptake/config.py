"""One YAML file of DIR/config: read into a pydantic class, errors with their line, and the last good version kept.

Knows no content. Refused values are never repeated in an error: they may be secrets.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog
import yaml
from pydantic import ValidationError

from uptake.complaints import in_plain_words
from uptake.section import Section

__all__ = ["ConfigFile", "InvalidConfig", "Section", "check", "line_of", "parse", "read", "unsettled", "write"]

_log = structlog.get_logger(__name__)
_DEEPEST = 50  # of what stands within each other; the parser takes ever longer for more


class InvalidConfig(ValueError):
    """Names the line of the file and what is wrong there, but never a value."""


Content = TypeVar("Content", bound=Section)


def parse(text: str, content_class: type[Content]) -> Content:
    """Raises `InvalidConfig`, also for a file that says nothing: an editor may be about to write it anew."""
    node, content = _loaded(text)
    if content is None:
        raise InvalidConfig("line 1: the file says nothing")
    if (double := _double_key(node)) is not None:
        raise InvalidConfig(f"line {double.start_mark.line + 1}: {double.value} stands twice")
    try:
        return content_class.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidConfig(f"line {_line(node, first['loc'])}: {where}: {in_plain_words(first)}") from None


class _Loader(yaml.SafeLoader):
    """Leaves days as text: a field says what it takes, and of 2026-02-30 it can say on which line it stands."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _loaded(text: str) -> tuple[yaml.Node | None, Any]:
    """The same twice: as nodes, which know their lines, and as values. Raises `InvalidConfig`."""
    try:
        depth = 0
        for event in yaml.parse(text, _Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise RecursionError
            if isinstance(event, yaml.AliasEvent):  # a few lines of them stand for more than any memory holds
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise InvalidConfig(f"line {line}: a *reference is not read")
        return yaml.compose(text, _Loader), yaml.load(text, _Loader)  # noqa: S506  # a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise InvalidConfig(f"line {line}: not YAML: {getattr(error, 'problem', 'unreadable')}") from None
    except RecursionError:
        raise InvalidConfig("line 1: nested too deeply") from None
    except InvalidConfig:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise InvalidConfig(f"line 1: {error}") from None


def line_of(text: str, *place: str | int) -> int:
    """The line of a good file where something stands: of its deepest key that the file has."""
    return _line(_loaded(text)[0], place)


def write(path: Path, text: str) -> None:
    """The whole file or none of it, also when the power fails; no reader meets a half.

    For its owner's eyes only, since people put secrets into such files.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read(path: Path, content_class: type[Content]) -> Content:
    """One file. Raises OSError, or `InvalidConfig` that names it."""
    try:
        return parse(path.read_text(encoding="utf-8"), content_class)
    except ValueError as error:
        raise InvalidConfig(f"{path}: {error}") from None


def check(path: Path, content_class: type[Section]) -> list[str]:
    """What is wrong with a file, with its name and line. One that is not there is wrong in nothing."""
    try:
        parse(path.read_text(encoding="utf-8"), content_class)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        return [f"{path}: {error}"]
    return []


class ConfigFile(Generic[Content]):
    """What is in force. `current()` looks at the file each time: a `stat` is cheap, and no watcher can die."""

    def __init__(self, path: Path | None, content_class: type[Content], shipped: str) -> None:
        """`shipped`: the commented file that holds until there is another one; `path` null: for ever."""
        self.path = path
        self.error: str | None = None
        self.version = 0  # rises with each new content
        #: What is in force is what the file says, or said when it was good last, or there is none. While it is false,
        #: the file has been bad ever since this process looked at it first: nobody here knows what was in force before.
        self.settled = path is None
        self._class = content_class
        self._shipped = shipped
        self._content = parse(shipped, content_class)
        self._seen: tuple[int, int, int] | None = None

    def write_default(self) -> None:
        """The commented default, where there is no file yet and one may be written."""
        if self.path is None or self.path.exists():
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write(self.path, self._shipped)
        except OSError as error:  # a folder that is only mounted for reading may lack some of them
            _log.warning("default configuration not written", file=str(self.path), error=error.strerror)

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
            if isinstance(error, OSError):
                self._seen = None  # nothing was read: it may be the same file that can be read next time
            self.settled |= isinstance(error, FileNotFoundError)
            self._keep(f"{self.path}: {error}")
            return self._content
        self.error, self.settled = None, True
        if content != self._content:
            self.version += 1
        self._content = content
        _log.info("configuration loaded", file=str(self.path))
        return content

    def _keep(self, problem: str) -> None:
        if problem != self.error:
            in_force = "the last good one" if self.settled else "nothing of this file"
            _log.error("configuration not loaded", problem=problem, in_force=in_force)
        self.error = problem


def unsettled(files: Iterable[ConfigFile[Any]]) -> str | None:
    """Why nothing may be decided yet: a file was bad when this process began, and has not been good since.

    What is shipped would decide otherwise than the file that was in force before.
    """
    found = []
    for file in files:
        file.current()
        if file.error and not file.settled:
            found.append(file.error)
    return "; ".join(found) or None


def _double_key(node: yaml.Node | None) -> yaml.Node | None:
    """YAML would silently take the last one, such as the shipped `channels: {}` below one's own channels."""
    if isinstance(node, yaml.SequenceNode):
        return next((found for child in node.value if (found := _double_key(child)) is not None), None)
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
