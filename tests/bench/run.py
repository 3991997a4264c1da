"""`./dev bench`: finds the measures beside it, runs them, and prints what came out. Measures and judges nothing."""

import argparse
import fnmatch
import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.bench import frame
from tests.bench.document import document
from tests.bench.machine import machine
from tests.bench.table import table

ROUNDS = 3
WIDTH = 160


def main() -> int:
    asked = _arguments()
    if asked.document:
        document()
        return 0
    modules = [(module, names) for module in found() if (names := _wanted(module, asked.only))]
    if asked.list:
        sys.stdout.writelines(f"{name}\n" for _, names in modules for name in names)
        return 0
    if not modules:
        sys.stderr.write(f"no measure is called {' or '.join(asked.only)}: see ./dev bench --list\n")
        return 2
    errors = Console(stderr=True)
    out = _stdout_for_us_alone()
    results = run(modules, frame.Size(asked.size), asked.rounds, errors)
    report = {"machine": machine(), "size": asked.size, "rounds": asked.rounds, "measures": results}
    if asked.json:
        out.write(json.dumps(report, indent=1) + "\n")
    _show(table(report), sys.stderr if asked.json else out)
    out.close()
    return 0 if all(result["holds"] for result in results) else 1


def _stdout_for_us_alone() -> TextIO:
    """Whatever the measured and their libraries print goes to standard error, where it spoils no JSON."""
    ours = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return ours


def _show(rows: Table, file: TextIO) -> None:
    """As wide as it needs to be where no terminal says how wide it is."""
    Console(file=file, width=None if file.isatty() else WIDTH).print(rows)


def found() -> list[ModuleType]:
    """Every module of this folder that offers measures."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("test_"))
    modules = [importlib.import_module(f"tests.bench.{name}") for name in names if name != Path(__file__).stem]
    return [module for module in modules if hasattr(module, "measures")]


def run(
    modules: list[tuple[ModuleType, list[str]]], size: frame.Size, rounds: int, console: Console
) -> list[dict[str, Any]]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=sum(len(names) for _, names in modules))
        results = []
        for module, names in modules:
            for result in _results(module, names, size, rounds, progress):
                results.append(result)
                progress.advance(task)
        return results


def _results(
    module: ModuleType, names: list[str], size: frame.Size, rounds: int, progress: Progress
) -> Iterator[dict[str, Any]]:
    """One result for every name, come what may: a module that fails says so for each of those it still owes."""
    owed = dict.fromkeys(names)
    reason = "the module did not yield it"
    progress.update(progress.task_ids[0], description=f"{module.__name__.rpartition('.')[2]}: setting up")
    try:
        with closing(module.measures(size)) as measures:
            for measure in measures:
                if measure.name not in owed:
                    continue
                progress.console.log(f"{measure.name} ...")
                describe = partial(_describe, progress, measure.name)
                yield frame.compete(measure, rounds, describe)
                del owed[measure.name]
                if not owed:
                    break
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    for name in owed:
        yield frame.broken(name, reason)


def _describe(progress: Progress, measure: str, who: str) -> None:
    progress.update(progress.task_ids[0], description=f"{measure}: {who}")


def _wanted(module: ModuleType, patterns: list[str]) -> list[str]:
    return [name for name in module.NAMES if not patterns or any(fnmatch.fnmatch(name, p) for p in patterns)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measures Uptake beside its peers, in one run.")
    parser.add_argument("--json", action="store_true", help="print the results as JSON, and nothing else, on stdout")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this measure; may hold a *")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often everyone runs ({ROUNDS})")
    parser.add_argument("--size", choices=list(frame.Size), default=frame.Size.FULL, help="full, or small for a look")
    parser.add_argument("--list", action="store_true", help="the names of the measures")
    parser.add_argument("--document", action="store_true", help="only write docs/benchmarks.json into the page")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
