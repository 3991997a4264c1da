"""Answers that say of every number of a day what it is made of. Computes no number."""

from fastapi import APIRouter

from uptake_metrics import features, freshness, growth, snapshots, worklist
from uptake_metrics.answers.asking import Asking, AsOf
from uptake_metrics.explanation import Explanation, explain
from uptake_metrics.formulas import Known
from uptake_metrics.kpis import heard_of
from uptake_metrics.userdays import WINDOWS
from uptake_metrics.zones import DAY


def router(asking: Asking) -> APIRouter:
    """`/api/v1/accounts/{account}/explain`."""
    router = APIRouter()

    @router.get("/api/v1/accounts/{account:path}/explain")
    async def explained(account: str, as_of: AsOf = None) -> Explanation:
        """Formula, inputs, window, zone, seats and their dates, policy version, health and revision of every number."""
        day = asking.day(account, as_of)
        (tallied,) = await asking.tally.days(account, day, day)
        async with asking.engine.connect() as connection:
            revision = (await snapshots.revisions(connection, worklist.account(account), day, day)).get(day, 0)
        kpis = asking.evaluation.kpis(account, tallied, revision)
        stated = asking.register.account(account).on(day)
        masks = await asking.tally.masks(account, day - DAY * (WINDOWS[-1] - 1), day)
        of_month = await asking.tally.masks(account, growth.first_day(day), day)
        counted = kpis.source_of_counts == "events"
        return explain(
            Known(
                kpis=kpis,
                account=stated,
                counts=tallied.counts,
                masks=masks,
                heard=heard_of(stated, tallied.last_contact, asking.register.told(account, day)),
                judged_at=freshness.judged_at(day, stated.time_zone, asking.clock()),
                chosen=asking.evaluation.config.policies.in_force(stated, day),
                mau_calendar=features.mau_calendar(of_month, day) if counted else None,
                facts=[fact for _, fact in await asking.register.statements(account)],
            )
        )

    return router
