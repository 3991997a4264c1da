"""Every revision that was ever published of an account's days, and what made it. Computes no number."""

from datetime import date

from uptake.messages.kpi import AccountSnapshot
from uptake_metrics import instance_store, snapshots, worklist
from uptake_metrics.answers.asking import Asking
from uptake_metrics.revisions import Revision, revisions


async def every_revision(asking: Asking, account: str, first: date, last: date) -> list[Revision]:
    """By day and revision; nothing of a day that was never published."""
    async with asking.engine.connect() as connection:
        known = await snapshots.every_revision(connection, worklist.account(account), first, last)
        moved_at = await instance_store.moved_at(connection, account)
    published = [AccountSnapshot.model_validate(one.body) for one in known]
    told_to = [one.facts_to for one in published if one.facts_to is not None]
    facts = await asking.register.causes(account, min(told_to), max(told_to)) if told_to else []
    return revisions(published, facts, moved_at)
