"""What holds for the files of the project as a whole: names, addresses, the deployment's agreement with the code."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from uptake_local import broker, roles

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
NATS = (ROOT / "deploy/nats/nats.conf").read_text()

LEFT_OUT = {".git", ".venv", "__pycache__", "dist", ".hypothesis"}
VAGUE = {"utils", "util", "helpers", "common", "core", "base", "manager", "processor", "service", "models"}
# Where packages come from is the machine's business, and a lock with addresses works on one machine only.
ADDRESSES = re.compile(
    r"https?://[^\s\"']*(?:p[y]pi|python[h]osted|/simple\b)|--(?:extra-)?index-url|--find-links", re.IGNORECASE
)


def files() -> list[Path]:
    """Every file of the checkout, also those that are not committed yet."""
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = sorted(name for name in below if name not in LEFT_OUT and not name.endswith(("_cache", ".egg-info")))
        found += [Path(folder, name) for name in sorted(names)]
    return found


def texts() -> list[tuple[str, str]]:
    kinds = {".py", ".md", ".toml", ".txt", ".yml", ".conf", ".sh", ".json", ""}
    chosen = (file for file in files() if file.suffix in kinds and file != Path(__file__))
    return [(str(file.relative_to(ROOT)), file.read_text()) for file in chosen]


def test_no_module_has_a_name_that_says_nothing():
    assert [str(file) for file in files() if file.suffix == ".py" and file.stem in VAGUE] == []
    assert [str(file) for file in files() if file.parent.name in VAGUE] == []


def test_every_module_says_first_what_it_is_for():
    modules = (
        file
        for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        for file in (ROOT / package).rglob("*.py")
        if "versions" not in file.parts
    )
    assert [str(file) for file in modules if (text := file.read_text()) and not text.startswith('"""')] == []


def test_no_file_names_a_package_index():
    flags_of_lock = ("dev",)  # they tell the resolver to write no addresses
    assert [name for name, text in texts() if name not in flags_of_lock and ADDRESSES.search(text)] == []


def test_no_file_names_the_folder_it_was_written_in():
    """Checked where that is a real path: `/app` would be in many a sentence."""
    places = [place for place in (str(ROOT), str(Path.home())) if place.count("/") > 1]
    assert [name for name, text in texts() for place in places if place in text] == []


@pytest.mark.parametrize("lock", ["run", "dev", "bench"])
def test_a_lock_has_a_hash_for_every_package(lock):
    text = (ROOT / f"requirements/{lock}.txt").read_text().replace("\\\n", " ")
    packages = [line for line in text.splitlines() if "==" in line]
    assert len(packages) > 10
    assert [line for line in packages if "--hash=sha256:" not in line] == []


def test_the_containers_run_console_scripts_that_exist():
    scripts = PROJECT["project"]["scripts"]
    ours = {name: about["command"][0] for name, about in COMPOSE["services"].items() if "build" in about}
    assert len(ours) == 6
    assert [name for name, script in ours.items() if script not in scripts] == []


def test_no_password_stands_in_the_compose_file():
    given = [
        f"{service}: {name}"
        for service, about in COMPOSE["services"].items()
        for name, value in about.get("environment", {}).items()
        if "PASSWORD" in name or "DATABASE_URL" in name
        if not re.search(r"\$\{UPTAKE_\w+_PASSWORD:\?", str(value))
    ]
    assert given == []


@pytest.mark.parametrize("role", roles.SERVICE_ROLES)
def test_the_broker_of_the_containers_grants_what_the_local_one_does(role):
    users = roles.authorization(dict.fromkeys(roles.SERVICE_ROLES, ""), "local", "")["authorization"]["users"]
    rights = next(user["permissions"] for user in users if user["user"] == role)
    block = re.search(rf"user: {role}\n(.*?)\n    }}\n", NATS, re.DOTALL)
    assert block is not None
    assert re.findall(r'"([^"]+)"', block[1]) == [*rights["publish"], *rights["subscribe"]]


def test_the_broker_of_the_containers_knows_nobody_else():
    assert re.findall(r"user: (\w+)", NATS) == list(roles.SERVICE_ROLES)


def test_the_broker_accepts_its_configuration_and_keeps_what_it_acknowledges():
    passwords = {f"UPTAKE_NATS_{role.upper()}_PASSWORD": "p1" for role in roles.SERVICE_ROLES}
    words = [broker.executable(), "-t", "-c", ROOT / "deploy/nats/nats.conf"]
    done = subprocess.run(words, env=passwords, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"sync_interval: always", NATS)
    assert f"max_payload: {broker.MAX_PAYLOAD}" in NATS


def test_prometheus_scrapes_every_service_on_its_port():
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    published = {name: about["ports"][0] for name, about in COMPOSE["services"].items() if name in targets}
    assert published.keys() == targets.keys()
    assert {name: [f"{name}:{port.rsplit(':', 1)[1]}"] for name, port in published.items()} == targets


def test_the_continuous_check_runs_the_commands_of_the_readme():
    section = (ROOT / "README.md").read_text().split("\n## Development\n")[1]
    promised = re.findall(r"^\$ (.*)$", section, re.MULTILINE)
    script = (ROOT / ".ci/run").read_text().splitlines()
    assert promised == [line for line in script if line.startswith("./dev ")]
    assert os.access(ROOT / ".ci/run", os.X_OK)
