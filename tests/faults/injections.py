"""The vocabulary of faults: what a test does to a cluster, one verb each. Judges nothing."""

import asyncio
import random
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

from tests.faults.cluster import Cluster
from tests.faults.network import Link
from tests.faults.processes import Kept
from tests.faults.producers import connect


async def kill(*victims: Kept) -> None:
    """kill -9, all in the same moment; the keeper starts them again."""
    for victim in victims:
        victim.kill()
    await asyncio.sleep(0.2)


async def kill_a_backend(cluster: Cluster, rng: random.Random) -> None:
    """One of PostgreSQL's processes for a connection: the postmaster then ends all of them and recovers."""
    backends = [process for process in cluster.postgres.family()[1:] if "uptake" in " ".join(_title(process))]
    if backends:
        rng.choice(sorted(backends, key=lambda process: process.pid)).send_signal(signal.SIGKILL)
    await asyncio.sleep(0.2)


async def freeze(victims: Iterable[Kept], seconds: float) -> None:
    """SIGSTOP, and SIGCONT after a while: a writer that believes no time has passed."""
    frozen = list(victims)
    for victim in frozen:
        victim.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        for victim in frozen:
            victim.thaw()


def take_away(server: Kept) -> None:
    """Until `bring_back`."""
    server.hold_down()


async def bring_back(server: Kept) -> None:
    server.start()
    await server.until_ready()


async def cut(links: Iterable[Link], seconds: float, *, to_server: bool = True, to_client: bool = True) -> None:
    """Silence in one direction or both, for a while."""
    cut_off = list(links)
    for link in cut_off:
        link.cut(to_server=to_server, to_client=to_client)
    try:
        await asyncio.sleep(seconds)
    finally:
        for link in cut_off:
            link.heal()


def reset(links: Iterable[Link]) -> None:
    for link in links:
        link.reset()


def _title(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


async def delete_consumers(cluster: Cluster, stream: str) -> int:
    """Every consumer of the stream; how many there were."""
    client = await connect(cluster.nats_url, "provisioner", cluster.passwords["provisioner"])
    names = [info.name for info in await client.jetstream().consumers_info(stream)]
    for name in names:
        await client.jetstream().delete_consumer(stream, name)
    await client.close()
    return len(names)


async def wipe(cluster: Cluster, stream: str) -> None:
    """The stream deleted, and made anew by the provisioner as at an installation."""
    client = await connect(cluster.nats_url, "provisioner", cluster.passwords["provisioner"])
    await client.jetstream().delete_stream(stream)
    await client.close()
    await cluster.provision()


async def save_store(cluster: Cluster, copy: Path) -> None:
    """An old backup, as one is made by hand: the broker stopped, its folder copied."""
    await cluster.nats.terminate()
    shutil.copytree(cluster.folder / "nats" / "store", copy)
    await bring_back(cluster.nats)


async def roll_back(cluster: Cluster, copy: Path) -> None:
    """The broker's disk is lost, and the old backup put in its place."""
    take_away(cluster.nats)
    while cluster.nats.is_alive:  # noqa: ASYNC110  # another process, which tells nobody
        await asyncio.sleep(0.05)
    shutil.rmtree(cluster.folder / "nats" / "store")
    shutil.copytree(copy, cluster.folder / "nats" / "store")
    await bring_back(cluster.nats)


def rotate(cluster: Cluster, role: str) -> None:
    """A new password at the broker, by reload; the service's secret file still has the old one."""
    cluster.rotate(role)
    cluster.nats.signal(signal.SIGHUP)


def jump(clock: Path, offset: str) -> None:
    """Every process that runs on this clock sees another time from now on, such as `+3h`."""
    clock.write_text(f"{offset}\n")
