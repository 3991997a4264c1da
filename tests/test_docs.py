"""The documents say what the code does: every name is in them, every path and every command line in them works."""

import ast
import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import SecretStr
from starlette.routing import BaseRoute, Route

import uptake.messages
import uptake_alerting.app
import uptake_alerting.settings
import uptake_cli.app
import uptake_ingestion.app
import uptake_metrics.app
from uptake.messages.events import EVENT_CLASSES, Event
from uptake.messages.fields import Message
from uptake.settings import Settings

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [ROOT / package for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
SOURCES = [file for package in PACKAGES for file in sorted(package.rglob("*.py"))]
SERVICES = ("ingestion", "metrics", "alerting")

TOP = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
OF_PACKAGES = (
    "shared/README.md",
    *(f"services/{name}/README.md" for name in (*SERVICES, "cli")),
    "deploy/local/README.md",
)
DOCUMENTS = (*TOP, *OF_PACKAGES, "docs/alerting.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a document may call by a short name, since it stands beside it.
SUFFIXES = (".py", ".md", ".yml", ".toml", ".txt", ".conf", ".sh", ".json")


def read(*names: str) -> str:
    return "\n".join((ROOT / name).read_text() for name in names)


def named(word: str, text: str) -> bool:
    """As a whole word: `uptake_alerts` is not named by `uptake_alerts_undeliverable`."""
    return re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text) is not None


def prose(text: str) -> str:
    return FENCE.sub("", text)


def all_subclasses(root: type) -> Iterator[type]:
    for one in root.__subclasses__():
        yield one
        yield from all_subclasses(one)


def message_classes() -> list[str]:
    for module in pkgutil.iter_modules(uptake.messages.__path__):
        importlib.import_module(f"uptake.messages.{module.name}")
    ours = (one for one in all_subclasses(Message) if one.__module__.startswith("uptake.messages."))
    return sorted({one.__name__ for one in ours if not one.__name__.startswith("_")})


def settings() -> list[str]:
    classes = list(all_subclasses(Settings))
    assert {one.__module__.split(".")[0] for one in classes} >= {f"uptake_{name}" for name in SERVICES}
    names = set()
    for one in classes:
        for field, about in one.model_fields.items():
            names.add(f"UPTAKE_{field.upper()}")
            if about.annotation in (SecretStr, SecretStr | None):
                names.add(f"UPTAKE_{field.upper()}_FILE")
    return sorted(names)


def string_constants() -> set[str]:
    trees = (ast.walk(ast.parse(file.read_text())) for file in SOURCES)
    return {
        node.value for tree in trees for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def variables() -> list[str]:
    return sorted(text for text in string_constants() if re.fullmatch(r"UPTAKE(_[A-Z]+)+", text))


def metric_names() -> list[str]:
    """Every string in the code that looks like one; packages and the key in a stream's metadata do so too."""
    others = {package.name for package in PACKAGES} | {"uptake_uuid"}
    return sorted(text for text in string_constants() if re.fullmatch(r"uptake(_[a-z]+)+", text) and text not in others)


def commands() -> list[str]:
    def below(command: click.Command, path: str) -> Iterator[str]:
        if not isinstance(command, click.Group):
            yield path
            return
        with click.Context(command) as context:
            for name in command.list_commands(context):
                child = command.get_command(context, name)
                assert child is not None
                yield from below(child, f"{path} {name}")

    return list(below(uptake_cli.app.main, "uptake"))


def routes(service: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setenv("UPTAKE_DATABASE_URL", "postgresql+asyncpg://nobody:nothing@127.0.0.1:1/none")
    if service == "ingestion":
        found: list[BaseRoute] = uptake_ingestion.app.build(uptake_ingestion.app.IngestionSettings()).routes
    elif service == "metrics":
        found = uptake_metrics.app.build(uptake_metrics.app.Settings()).routes
    else:
        found = uptake_alerting.app.build(uptake_alerting.settings.AlertingSettings()).routes
    return {re.sub(r":\w+}", "}", route.path) for route in found if isinstance(route, Route)}


def command_lines() -> list[tuple[str, str]]:
    """Each `$ ./dev ...` of a `console` block, with the name of its document."""
    return [
        (name, line.removeprefix("$ "))
        for name in DOCUMENTS
        for language, block in FENCE.findall(read(name))
        if language == "console"
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def paths() -> list[tuple[str, str]]:
    """What looks like a path of the project in backticks, and where links lead."""
    tops = {path.name for path in ROOT.iterdir()}
    found = set()
    for name in DOCUMENTS:
        text = prose(read(name))
        for word in re.findall(r"`([\w./{}-]+)`", text):
            top = word.removeprefix("./").split("/")[0]
            if top in tops and ("/" in word or word.endswith(SUFFIXES)):
                found.add((name, word))
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            found.add((name, str((ROOT / name).parent.joinpath(link).resolve().relative_to(ROOT))))
    return sorted(found)


def test_every_message_is_in_the_architecture():
    text = read("ARCHITECTURE.md")
    assert [name for name in message_classes() if not named(name, text)] == []


@pytest.mark.parametrize("event_type", EVENT_CLASSES)
def test_every_event_type_is_in_the_readme_with_all_its_fields(event_type):
    rows = [line for line in read("README.md").splitlines() if line.startswith("| `") and f"`{event_type}`" in line]
    assert len(rows) == 1
    own = EVENT_CLASSES[event_type].model_fields.keys() - Event.model_fields.keys() - {"type"}
    assert [field for field in sorted(own) if f"`{field}`" not in rows[0]] == []


def test_every_setting_is_in_the_readme():
    text = read("README.md")
    assert [name for name in settings() if not named(name, text)] == []


def test_every_variable_that_the_code_names_is_documented():
    text = read(*DOCUMENTS)
    assert [name for name in variables() if not named(name, text)] == []


def test_every_prometheus_metric_is_documented():
    """A counter is documented as it is exposed: with `_total`."""
    text = read(*DOCUMENTS)
    assert [name for name in metric_names() if not named(name, text) and not named(f"{name}_total", text)] == []


def test_every_command_is_documented():
    text = read(*DOCUMENTS)
    assert [command for command in commands() if not named(command, text)] == []


def test_every_console_script_is_documented():
    text = read(*DOCUMENTS)
    assert [script for script in PROJECT["project"]["scripts"] if f"`{script}`" not in text] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_is_in_the_readme(service, monkeypatch):
    text = read("README.md")
    assert [path for path in sorted(routes(service, monkeypatch)) if not named(path, text)] == []


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_says_what_it_consumes_publishes_owns_and_promises(service):
    headings = re.findall(r"^## (.*)$", read(f"services/{service}/README.md"), re.MULTILINE)
    assert {"Consumes", "Publishes", "Owns", "Promises"} <= set(headings)


def test_every_path_in_the_documents_exists():
    assert [f"{path} in {name}" for name, path in paths() if not exists(name, path)] == []


def test_every_command_line_in_the_documents_is_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = subprocess.run([sys.executable, ROOT / "dev"], capture_output=True, text=True).stdout
    refused = []
    for document, line in command_lines():
        program, *words = shlex.split(line, comments=True)
        for file in (word for word in words if ".ndjson" in word):
            (tmp_path / file).touch()
        try:
            assert f"{program} {words[0]}" in known
            if words[0] in ("up", "uptake"):
                accept(uptake_cli.app.main, words[1:] if words[0] == "uptake" else words)
        except (AssertionError, click.UsageError) as error:
            refused.append(f"{line} in {document}: {error}")
    assert refused == []


def test_what_the_script_says_of_itself_is_in_the_contributors_guide():
    script = read("dev").split('"""')[1]
    usage = [line for line in script.splitlines() if line.startswith("./dev ")]
    assert [line for line in usage if line not in read("CONTRIBUTING.md")] == []


def exists(document: str, path: str) -> bool:
    return (ROOT / path).exists() or (ROOT / document).parent.joinpath(path).exists()


def accept(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    """Raises what the command line would print about wrong usage; runs nothing."""
    with command.make_context(command.name, list(words), parent) as context:
        if isinstance(command, click.Group) and (rest := [*context._protected_args, *context.args]):
            _, child, left = command.resolve_command(context, rest)
            assert child is not None
            accept(child, left, context)
