"""Every revision that was ever published of an account's days, and what made it. Computes no number."""

from datetime import date

from uptake.messages.kpi import AccountSnapshot
from uptake_metrics import snapshots, worklist
from uptake_metrics.answers.asking import Asking
from uptake_metrics.revisions import Revision, revisions


async def every_revision(asking: Asking, account: str, first: date, last: date) -> list[Revision]:
    """By day and revision; nothing of a day that was never published."""
    async with asking.engine.connect() as connection:
        known = await snapshots.every_revision(connection, worklist.account(account), first, last)
    published = (AccountSnapshot.model_validate(one.body) for one in known)
    return revisions(published, await asking.register.statements(account))
