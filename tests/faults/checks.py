"""What must hold after every fault: counts as the model has them, balanced books, quiet processes, a clean end."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psutil

from tests.faults.cluster import Cluster
from tests.faults.model import Days, Model, by_day, by_month
from tests.faults.processes import Kept

READY_S = 15.0
COUNTED_S = 100.0  # a message given to a process that was killed comes again after 30 s, a refused one after up to 60 s
SETTLED_S = 40.0
MOST_CPU = 0.20
_LOOK_S = 4.0
_AT_ONCE = 6
EXPECTED_ENDS = {0, 70, -9}  # as asked; 70: the process gave up and is to be started again


async def counted_exactly(cluster: Cluster, model: Model) -> None:
    """On every replica: all that was acknowledged, nothing that was never sent, and one number everywhere."""
    replicas = [kept.name for kept in cluster.replicas("metrics")]
    await asyncio.gather(*(_counted(cluster, replica, model) for replica in replicas))


async def _counted(cluster: Cluster, replica: str, model: Model) -> None:
    must, may = by_day(model.acknowledged), by_day(model.sent)
    deadline = time.monotonic() + COUNTED_S
    while missing := await _missing(cluster, replica, must):
        left_s = deadline - time.monotonic()
        assert left_s > 0, f"{replica}: acknowledged and not counted after {COUNTED_S:.0f} s: {_some(missing)}"
        await asyncio.sleep(1)
    while differing := await _differing(cluster, replica, may):  # what nobody acknowledged may still be on its way
        assert time.monotonic() < deadline, f"{replica}: not one number: {differing}"
        await asyncio.sleep(1)
    while missing_there := await _by_feature(cluster, replica, model):
        assert time.monotonic() < deadline, f"{replica}: acknowledged and not counted for its feature: {missing_there}"
        await asyncio.sleep(1)
    listed = {line["account"] for line in await cluster.get(replica, "/api/v1/accounts")}
    assert listed <= set(model.accounts()), f"{replica}: accounts that nobody sent: {listed}"


async def _differing(cluster: Cluster, replica: str, may: Days) -> dict[str, Any]:
    """Nothing invented; and the counts that `/kpis` tells are those of the users that `/users` lists."""
    found = await _users(cluster, replica, may)
    invented = {key: more for key, users in found.items() if (more := users - may[key])}
    assert not invented, f"{replica}: counted and never sent: {_some(invented)}"
    today = datetime.now(UTC).date()
    differing = {}
    for account in sorted({account for (account, _), users in found.items() if users}):  # the rest may be unknown
        answer = await cluster.get(replica, f"/api/v1/accounts/{account}/kpis", as_of=str(today))
        days = {day: users for (name, day), users in found.items() if name == account}
        told = {name: answer[name] for name in ("dau", "wau", "mau")} | {"user_days": answer["usage"]["num"]}
        if told != (counts := _windows(days, today)):
            differing[account] = (told, counts)
    return differing


async def _missing(cluster: Cluster, replica: str, must: Days) -> Days:
    """First the sums, which are cheap to ask for while the last events are on their way."""
    lagging = [account for account, days in _sums(must).items() if not await _reaches(cluster, replica, account, days)]
    asked = {key: users for key, users in must.items() if not lagging or key[0] == lagging[0]}
    found = await _users(cluster, replica, asked)
    return {key: lost for key, users in asked.items() if (lost := users - found[key])}


async def _reaches(cluster: Cluster, replica: str, account: str, least: Counter[date]) -> bool:
    history = await _history(cluster, replica, account)
    return history is not None and all((history[day]["dau"] or 0) >= users for day, users in least.items())


def _sums(days: Days) -> dict[str, Counter[date]]:
    sums: dict[str, Counter[date]] = {}
    for (account, day), users in days.items():
        sums.setdefault(account, Counter())[day] = len(users)
    return sums


async def _history(cluster: Cluster, replica: str, account: str) -> dict[date, Any] | None:
    """None while the account is not known there."""
    today = datetime.now(UTC).date()
    params = {"from": str(today - timedelta(35)), "to": str(today)}
    answer = await cluster.http.get(f"{cluster.url(replica)}/api/v1/accounts/{account}/history", params=params)
    if answer.status_code in (404, 503):
        return None
    assert answer.status_code == 200, answer.text
    return {date.fromisoformat(line["as_of"]): line for line in answer.json()}


async def _users(cluster: Cluster, replica: str, wanted: Iterable[tuple[str, date]]) -> Days:
    """Who is behind each count; nobody where the account is not known yet."""
    keys, slots = list(wanted), asyncio.Semaphore(_AT_ONCE)

    async def ask(account: str, day: date) -> set[str]:
        params = {"as_of": str(day), "window": "dau"}
        async with slots:
            answer = await cluster.http.get(f"{cluster.url(replica)}/api/v1/accounts/{account}/users", params=params)
        if answer.status_code in (404, 503):
            return set()
        assert answer.status_code == 200, answer.text
        return set(answer.json()["users"])

    return dict(zip(keys, await asyncio.gather(*(ask(*key) for key in keys)), strict=True))


async def _by_feature(cluster: Cluster, replica: str, model: Model) -> dict[tuple[str, str], set[str]]:
    """The same by feature, over the last thirty days: a user-day under a wrong name is a wrong count too."""
    today = datetime.now(UTC).date()
    must, may = by_month(model.acknowledged, today), by_month(model.sent, today)
    missing = {}
    for key, users in may.items():
        account, feature = key
        answer = await cluster.get(
            replica, f"/api/v1/accounts/{account}/users", as_of=str(today), window="mau", feature=feature
        )
        found = set(answer["users"])
        assert found <= users, f"{replica} {key}: counted and never sent: {found - users}"
        if not must[key] <= found:
            missing[key] = must[key] - found
    return missing


def _windows(days: dict[date, set[str]], today: date) -> dict[str, int]:
    def window(size: int) -> list[set[str]]:
        return [days.get(today - timedelta(back), set()) for back in range(size)]

    counts = {name: len(set().union(*window(size))) for name, size in (("dau", 1), ("wau", 7), ("mau", 30))}
    return counts | {"user_days": sum(map(len, window(28)))}


async def balanced_books(cluster: Cluster, model: Model) -> None:
    """accepted = stored = processed + refused, of every account and hour; and no less than was acknowledged."""
    deadline = time.monotonic() + READY_S
    for kept in cluster.replicas("metrics"):
        while not (books := await cluster.get(kept.name, "/api/v1/books"))["balanced"]:
            told = f"'balanced': False, {books['totals']}, missing {books['missing']}"
            assert time.monotonic() < deadline, f"{kept.name}: {told}"
            await asyncio.sleep(0.5)
        processed = Counter[str]()
        for row in books["rows"]:
            processed[row["account"]] += row["processed"]
        short = {account: (n, processed[account]) for account, n in model.events.items() if processed[account] < n}
        assert not short, f"{kept.name}: acknowledged events and processed ones: {short}"


async def positions_only_went_forward(cluster: Cluster) -> None:
    back = await cluster.steps_back()
    assert not back, f"positions that went back: {back[:5]}"


async def quiet(processes: Sequence[Kept], within_s: float = 0) -> None:
    """None of them takes more than a fifth of a core while it waits.

    `within_s`: after an outage there is work left first, such as judging what has been published meanwhile.
    """
    deadline = time.monotonic() + within_s
    while max((busy := await _busy(processes)).values()) > MOST_CPU:
        assert time.monotonic() < deadline, f"share of a core while waiting: {busy}"


async def _busy(processes: Sequence[Kept]) -> dict[str, float]:
    before = {kept.name: _cpu_s(kept) for kept in processes}
    began = time.monotonic()
    await asyncio.sleep(_LOOK_S)
    took_s = time.monotonic() - began
    return {kept.name: round((_cpu_s(kept) - before[kept.name]) / took_s, 3) for kept in processes}


def _cpu_s(kept: Kept) -> float:
    total = 0.0
    for process in kept.family():
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


async def ends_cleanly(processes: Sequence[Kept]) -> None:
    """SIGTERM, all at once: code 0 within ten seconds."""
    await asyncio.gather(*(kept.terminate() for kept in processes))


def no_crash(processes: Iterable[Kept]) -> None:
    ends = {kept.name: [end.code for end in kept.ends if end.code not in EXPECTED_ENDS] for kept in processes}
    crashed = {name: codes for name, codes in ends.items() if codes}
    assert not crashed, f"ended with a code that says a mistake: {crashed}"


def _some(days: Days) -> dict[str, list[str]]:
    shown = sorted(days)[:4]
    return {f"{account} {day}": sorted(days[account, day])[:5] for account, day in shown}
