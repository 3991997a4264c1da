"""From the acknowledgement of an event to its place in `/kpis`: all services run, 20,000 events a second come in.

A probe posts one event of a user that nobody knows, waits for the 202, and asks for its account's numbers until MAU has
risen. Two probes at a time, each with accounts of its own.
"""

import asyncio
import itertools
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from .frame import Contestant, Measure, Size
from .servers import folder, free_block, python, running, sibling
from .services import answers
from .traffic import bodies, usage

NAMES = ("visible_p50", "visible_p99")

_EVENTS_S = 20_000
_BODIES = 1_000
_CONNECTIONS = 64
_SECONDS = {Size.SMALL: 3.0, Size.FULL: 12.0}
_SETTLE_S = 2.0
_PROBES = 2
_ASK_EVERY_S = 0.02


def measures(size: Size) -> Iterator[Measure]:
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        (place / "bodies").write_bytes(b"\n".join(bodies(usage(_BODIES * 100, datetime.now(UTC)))))
        probing = Probing(stack.enter_context(instance(place)), place, _SECONDS[size])
        for name, share, limit_s in (("visible_p50", 0.50, 0.5), ("visible_p99", 0.99, 1.5)):
            yield Measure(
                name,
                f"event acknowledged to visible in /kpis at {_EVENTS_S:,} events/s, p{share * 100:.0f}",
                "s",
                higher_is_better=False,
                ours=Contestant("all services on this machine", probing.figure(share)),
                limit=limit_s,
            )


@contextmanager
def instance(place: Path) -> Iterator[int]:
    """`uptake up`; the first of its ports."""
    port = free_block()
    program = python("up", "uptake_cli", "up", "--data", str(place / "data"), "--port", str(port))
    with running(program, place / "up.log") as process:
        process.until((place / "data" / "instance.json").exists, 90)
        process.until(lambda: all(answers(f"http://127.0.0.1:{port + n}/readyz") for n in (1, 2, 3)), 60)
        yield port


class Probing:
    """Both measures look at the same rounds."""

    def __init__(self, port: int, place: Path, seconds: float) -> None:
        self._port, self._place, self._seconds = port, place, seconds
        self._key = (place / "data" / "producer.key").read_text().strip()
        self._rounds: list[list[float]] = []

    def figure(self, share: float) -> Callable[[], float]:
        numbers = itertools.count()
        return lambda: quantile(self._round(next(numbers)), share)

    def _round(self, number: int) -> list[float]:
        while len(self._rounds) <= number:
            self._rounds.append(self._probed_under_load())
        return self._rounds[number]

    def _probed_under_load(self) -> list[float]:
        seconds = str(_SETTLE_S + self._seconds)
        arguments = (str(self._port + 1), str(self._place / "bodies"), self._key, str(_CONNECTIONS), seconds)
        program = python("load", sibling("http_load"), *arguments, str(_EVENTS_S / 100))
        options = program.options() | {"stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(program.argv, **options) as load:
            time.sleep(_SETTLE_S)
            took_s = asyncio.run(self._probe_all())
            said, _ = load.communicate(timeout=60)
        if load.returncode != 0 or float(said) < 0.97 * _EVENTS_S:
            raise RuntimeError(f"the load was {said.strip() or 'refused'}, not {_EVENTS_S} events/s")
        return took_s

    async def _probe_all(self) -> list[float]:
        until = time.perf_counter() + self._seconds
        each = await asyncio.gather(*(self._probe_until(until) for _ in range(_PROBES)))
        return [took_s for of_one in each for took_s in of_one]

    async def _probe_until(self, until: float) -> list[float]:
        account = f"probe-{uuid.uuid4().hex}"
        took_s: list[float] = []
        headers = {"authorization": f"Bearer {self._key}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            while time.perf_counter() < until:
                took_s.append(await self._probe(http, account, len(took_s)))
        return took_s

    async def _probe(self, http: httpx2.AsyncClient, account: str, mau: int) -> float:
        """Seconds from the 202 until MAU has risen above `mau`."""
        event = {
            "id": uuid.uuid4().hex,
            "type": "usage",
            "occurred_at": datetime.now(UTC).isoformat(),
            "account": account,
            "user": uuid.uuid4().hex,
            "feature": "product/probe",
        }
        sent = await http.post(f"http://127.0.0.1:{self._port + 1}/v1/events", content=json.dumps(event))
        if sent.status_code != 202:
            raise RuntimeError(f"the probe was answered {sent.status_code}")
        acknowledged = time.perf_counter()
        while await self._mau(http, account) <= mau:  # noqa: ASYNC110  # another process sets no event here
            await asyncio.sleep(_ASK_EVERY_S)
        return time.perf_counter() - acknowledged

    async def _mau(self, http: httpx2.AsyncClient, account: str) -> int:
        answer = await http.get(f"http://127.0.0.1:{self._port + 2}/api/v1/accounts/{account}/kpis")
        return int(answer.json()["mau"] or 0) if answer.status_code == 200 else 0


def quantile(values: list[float], share: float) -> float:
    """The smallest value that so many do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
