"""The command `uptake up`: one machine's Uptake in the foreground, until Ctrl-C. Decides no order and no settings."""

import asyncio
import os
import shlex
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from uptake_cli.instance import DEFAULT_DATA, to_copy
from uptake_local import plan
from uptake_local.database import DatabaseSetupError
from uptake_local.instance import CannotStart, Instance, locked, require_free
from uptake_local.supervisor import StartFailed, Supervisor

DEFAULT_PORT = 8400


@click.command()
@click.option("--demo", is_flag=True, help="Also load the demo data, and say what to look at.")
@click.option(
    "--data",
    # `uptake --data DIR up` works as well
    default=lambda: click.get_current_context().find_root().obj or os.environ.get("UPTAKE_DATA") or DEFAULT_DATA,
    show_default=f"UPTAKE_DATA, else {DEFAULT_DATA}",
    help="The folder that holds everything.",
)
@click.option("--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(1024, 65530), help="First port.")
def up(demo: bool, data: str | Path, port: int) -> None:
    """Run everything on this machine: broker, database, services. Ctrl-C stops it and leaves nothing behind."""
    instance = Instance(Path(data).expanduser().resolve(), port)
    try:
        instance.make_folders()
        with locked(instance.folder) as lock:
            require_free({name: port for name, port in instance.ports.items() if name != "console"})
            asyncio.run(_run(instance, lock, demo))
    except (CannotStart, DatabaseSetupError, StartFailed) as problem:
        raise click.ClickException(str(problem)) from None


async def _run(instance: Instance, lock: int, demo: bool) -> None:
    """Raises what the start raised, after everything that did start has been drained."""
    supervisor = Supervisor(instance.logs)
    stop = _stop_signal(supervisor)
    life = asyncio.create_task(_live(instance, supervisor, lock, demo))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({life, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()
    finally:
        click.echo("Stopping.")
        life.cancel()
        stopped.cancel()
        await asyncio.gather(life, stopped, return_exceptions=True)
        await supervisor.drain()
        instance.description.unlink(missing_ok=True)


def _stop_signal(supervisor: Supervisor) -> asyncio.Event:
    """The first signal asks for a drain, the second ends what still runs."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            supervisor.kill()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # `nohup` wants no end at a hang-up
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


async def _live(instance: Instance, supervisor: Supervisor, lock: int, demo: bool) -> None:
    began = time.monotonic()
    await plan.start(instance, supervisor, lock)
    instance.describe()
    click.echo(summary(instance, time.monotonic() - began))
    if demo:
        await _load_demo(instance)
    else:
        click.echo(first_steps(instance))
    await asyncio.Event().wait()


async def _load_demo(instance: Instance) -> None:
    from uptake_local import demo  # here: nobody else needs what it imports

    try:
        loaded = await demo.load(instance)
    except Exception as error:  # a demo that does not load is no reason to take everything down
        return click.secho(f"The demo data was not loaded: {error}", fg="red", err=True)
    click.secho(f"\nThe demo is loaded: {loaded.accounts} accounts, their activity until {loaded.last_day}.", bold=True)
    click.echo("\n".join(f"  {line}" for line in loaded.look_at) + "\n")


def summary(instance: Instance, took_s: float) -> str:
    """What runs where."""
    headline = click.style(f"Uptake is running, after {took_s:.0f} s. Ctrl-C stops it.", bold=True)
    return "\n".join(["", headline, *(f"  {name:<11}{where}" for name, where in _places(instance)), ""])


def first_steps(instance: Instance) -> str:
    """Lines to copy that work as they stand."""
    commands = [f"  {to_copy('uptake', instance.folder)} {words}" for words in ("accounts", "kpis acme", "alerts")]
    send, look = click.style("Send one event:", bold=True), click.style("Then look:", bold=True)
    return "\n".join([send, f"  {_curl(instance)}", look, *commands, ""])


def _places(instance: Instance) -> list[tuple[str, str]]:
    return [
        ("ingestion", f"{instance.urls['ingestion']}/v1/events"),
        ("metrics", f"{instance.urls['metrics']}/api/v1/accounts"),
        ("alerting", f"{instance.urls['alerting']}/api/v1/alerts"),
        ("NATS", f"{instance.urls['nats']}   publish raw.v1.>, read kpi.> and alert.>"),
        ("Prometheus", "/metrics of each of the three"),
        ("key", str(instance.key_file)),
        ("config", str(instance.config)),
        ("logs", str(instance.logs)),
    ]


def _curl(instance: Instance) -> str:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    event = (
        f'{{"id": "hello-{int(time.time())}", "type": "usage", "occurred_at": "{now}", '
        '"account": "acme", "user": "ada", "feature": "search"}'
    )
    key = f'"Authorization: Bearer $(cat {shlex.quote(str(instance.key_file))})"'
    return f"curl -sS {instance.urls['ingestion']}/v1/events -H {key} -H 'Content-Type: application/json' -d '{event}'"
