"""`POST /v1/events` of 100 -> validated -> stored by the broker: one ingestion process, beside plain Starlette.

All three servers stand idle while another one is loaded. The senders are a process of their own that keeps so many
connections busy that the server is never out of work.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, run

from .frame import Contestant, Measure, Size
from .servers import folder, free_port, nats, provisioned, python, running, sibling
from .services import KEY, answers, ingestion
from .traffic import bodies, usage

NAMES = ("post",)

_CONNECTIONS = 256
_BODIES = 200
_SECONDS = {Size.SMALL: 1.2, Size.FULL: 4.0}


def measures(size: Size) -> Iterator[Measure]:
    now = datetime.now(UTC)
    with ExitStack() as stack:
        place = stack.enter_context(folder())
        url = stack.enter_context(nats(place / "nats"))
        provisioned(url)
        (place / "ours").mkdir()
        (place / "unstored").mkdir()
        file = place / "bodies"
        file.write_bytes(b"\n".join(bodies(usage(_BODIES * 100, now))))
        ours = stack.enter_context(ingestion(url, place / "ours"))
        unstored = stack.enter_context(ingestion(url, place / "unstored", sibling("http_unstored")))
        plain = free_port()
        program = python("starlette", sibling("http_plain"), str(plain), url)
        stack.enter_context(running(program, place / "log", lambda: answers(f"http://127.0.0.1:{plain}/readyz")))

        def posting(port: int) -> Callable[[], float]:
            return lambda: load(port, file, _SECONDS[size], place / "load.log")

        yield Measure(
            "post",
            f"POST /v1/events of 100, stored by the broker, {_CONNECTIONS} connections",
            "events/s",
            higher_is_better=True,
            ours=Contestant("uptake-ingestion", posting(ours.port)),
            peers=(
                Contestant("Starlette on uvicorn, the same work", posting(plain), 1.1),
                Contestant("uptake-ingestion that stores nothing", posting(unstored.port), 0.6),
            ),
        )


def load(port: int, file: Path, seconds: float, log: Path) -> float:
    """Events accepted per second."""
    program = python("load", sibling("http_load"), str(port), str(file), KEY, str(_CONNECTIONS), str(seconds))
    with log.open("ab") as errors:
        done = run(program.argv, **program.options(), stdout=PIPE, stderr=errors, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise RuntimeError(log.read_text()[-500:])
    return float(done.stdout)
