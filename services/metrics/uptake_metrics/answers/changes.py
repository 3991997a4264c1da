"""Answers about what changed between two days of an account. Computes no number."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query

from uptake.messages.facts import Fact
from uptake.messages.kpi import AccountKpis, AccountSnapshot
from uptake.problems import Problem
from uptake_metrics import archive, seats, snapshots, worklist
from uptake_metrics.accounts import Account
from uptake_metrics.answers.asking import Asking
from uptake_metrics.changes import Changes, LicenseChange, People, changes, license_changes
from uptake_metrics.evidence import Correction, corrections, of_license
from uptake_metrics.user_lists import UserListsOff
from uptake_metrics.userdays import U64, WINDOWS
from uptake_metrics.zones import DAY, to_number

_OLDER = DAY * (WINDOWS[-1] - 1)


def router(asking: Asking) -> APIRouter:
    """`/api/v1/accounts/{account}/changes`."""
    router = APIRouter()

    @router.get("/api/v1/accounts/{account:path}/changes")
    async def between(
        account: str, first: Annotated[date, Query(alias="from")], last: Annotated[date, Query(alias="to")]
    ) -> Changes:
        """Who entered and left the window, which licence, policy or date moved a number, and what else is different."""
        asking.day(account, first)
        asking.day(account, last)
        if first > last:
            raise Problem(400, "invalid_range", "'from' must be at most 'to'")
        before, after = [(await asking.board.line(account, day)).kpis for day in (first, last)]
        facts = [fact for _, fact in await asking.register.statements(account)]
        return changes(
            before,
            after,
            await _people(asking, before, after),
            _licenses(asking.register.account(account), facts, first, last),
            await _corrections(asking, account, facts, first, last),
        )

    return router


async def _people(asking: Asking, before: AccountKpis, after: AccountKpis) -> People | None:
    """Null where pings told the number: nobody knows whom they counted."""
    if "pings" in (before.source_of_counts, after.source_of_counts):
        return None
    account = after.account
    masks = await asking.tally.masks(account, before.as_of - _OLDER, after.as_of)
    was, now = (archive.active(masks, to_number(day - _OLDER), to_number(day)) for day in (before.as_of, after.as_of))
    entered, left = np.setdiff1d(now, was), np.setdiff1d(was, now)
    return People(
        entered=len(entered),
        left=len(left),
        entered_users=await _names(asking, account, entered),
        left_users=await _names(asking, account, left),
    )


async def _names(asking: Asking, account: str, hashes: U64) -> list[str] | None:
    """Null where nobody is to be named."""
    try:
        return await asking.tally.names(account, hashes)
    except UserListsOff:
        return None


def _licenses(account: Account, facts: Sequence[Fact], first: date, last: date) -> list[LicenseChange]:
    """An expired licence has the statement that let it expire."""
    said = seats.statements(account, last)
    return [
        LicenseChange(
            license=name,
            before=old and old.seats,
            after=new and new.seats,
            fact=of_license(facts, said[name]) if name in said else None,
        )
        for name, old, new in license_changes(seats.in_force(account, first), seats.in_force(account, last))
    ]


async def _corrections(
    asking: Asking, account: str, facts: Sequence[Fact], first: date, last: date
) -> list[Correction]:
    """Of dates that were told after the first day was published, and before the second was: until now if it was not."""
    begun, ended = await _published(asking, account, first), await _published(asking, account, last)
    if begun is None:
        return []
    known = [fact for fact in facts if fact.received_at <= begun]
    came = [fact for fact in facts if begun < fact.received_at <= (ended or asking.clock())]
    return corrections(came, known)


async def _published(asking: Asking, account: str, day: date) -> datetime | None:
    """When the day was published for the first time."""
    async with asking.engine.connect() as connection:
        known = await snapshots.every_revision(connection, worklist.account(account), day, day)
    return AccountSnapshot.model_validate(known[0].body).published_at if known else None
