"""One evaluation inside one transaction: snapshots in, episodes and events out. Commits nothing itself.

Called by new snapshots, by the clock and by new rules; all come out the same, whoever is first. Whom to tell, and
when, is decided at the next look.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.messages.kpi import AccountDay, InstanceSnapshot, TeamSnapshot, TrialSnapshot
from uptake_alerting import closed_days, limits, quarters, store
from uptake_alerting.conditions import Snapshot
from uptake_alerting.rules import Rules
from uptake_alerting.store import SUBJECT


async def take(connection: AsyncConnection, snapshots: Iterable[Snapshot], rules: Rules, now: datetime) -> None:
    """Keep the snapshots and evaluate whatever they changed. The same snapshots again change nothing.

    `snapshots` are in the order of the stream. Of a publication in several parts nothing is judged before the last one:
    half of it would be a truth that never was. Then all days are, since earlier parts may have changed any of them.
    """
    known = list(snapshots)
    await _take_accounts(connection, [s for s in known if isinstance(s, AccountDay)], rules, now)
    trials = await store.save_trials(connection, (s for s in known if isinstance(s, TrialSnapshot)))
    await limits.evaluate_trials(connection, rules, trials, now)
    instances = await store.save_subjects(connection, (s for s in known if isinstance(s, InstanceSnapshot)))
    await limits.evaluate_instances(connection, rules, instances, now)
    if await store.save_subjects(connection, (s for s in known if isinstance(s, TeamSnapshot))):
        await quarters.evaluate(connection, rules.of("team"), now)


async def _take_accounts(
    connection: AsyncConnection, snapshots: Sequence[AccountDay], rules: Rules, now: datetime
) -> None:
    if not snapshots:
        return
    locked = await store.lock(connection, [SUBJECT], {s.account for s in snapshots})
    folded = {one.subject: one.state.day for one in locked if one.state.day is not None}
    saved = await store.save_samples(connection, snapshots)
    last = {s.account: s for s in snapshots}
    complete = {account for account, s in last.items() if s.part == s.parts}
    whole = {s.account for s in snapshots if s.parts > 1} & complete
    newest = defaultdict[str, dict[date, AccountDay]](dict)
    for snapshot in snapshots:
        account, day = snapshot.account, snapshot.kpis.as_of
        if account not in complete or day not in saved.get(account, ()):
            continue
        if account in folded and day <= folded[account]:
            whole.add(account)  # a late day: whatever came after it may change
        before = newest[account].get(day)
        if before is None or before.kpis.revision < snapshot.kpis.revision:
            newest[account][day] = snapshot
    between = {a: (folded.get(a, date.min), min(days)) for a, days in newest.items() if a not in whole}
    whole |= await store.left_out(connection, between)
    fresh = {a: [days[day] for day in sorted(days)] for a, days in newest.items() if a not in whole}
    await closed_days.evaluate(connection, rules.of("account"), fresh, whole, now)
