"""Asks the clock for limits that have come, and follows rules that were edited."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from uptake.loops import forever
from uptake_alerting import following, limits, server_clock
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.rules import Rules


async def run(engine: AsyncEngine, rules: RulesFile, tick_s: float, on_tick: Callable[[datetime], None]) -> None:
    """Until cancelled. A tick that was missed is not lost: the next one finds the same."""

    followed: Rules | None = None

    async def step() -> float:
        nonlocal followed
        now, current = await server_clock.ask(engine), rules.current()
        if current is not followed:  # two replicas with different files must not undo each other's work for ever
            await following.follow(engine, current, now)
            followed = current
        await tick(engine, current, now)
        on_tick(now)
        return tick_s

    await forever("a tick", step)


async def tick(engine: AsyncEngine, rules: Rules, now: datetime) -> None:
    looked_at = limits.DUE_LIMIT
    while looked_at == limits.DUE_LIMIT:
        async with engine.begin() as connection:
            looked_at = await limits.tick(connection, rules, now)
