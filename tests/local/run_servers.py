"""The real `uptake up` with a stand-in for the three services, for tests of what surrounds them. No test itself."""

import sys

from uptake_local import broker, plan, up
from uptake_local.program import Program
from uptake_local.supervisor import Child

_SERVICE = "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); print('serving', flush=True); signal.pause()"


async def _start(instance, supervisor, lock):
    await plan.start_servers(instance, supervisor, lock)
    await supervisor.start(Child(Program("stand-in", (sys.executable, "-c", _SERVICE)), lambda: True))


plan.start = _start
assert broker.executable().exists()
up.up()
