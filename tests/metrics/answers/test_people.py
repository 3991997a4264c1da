"""Receipts over HTTP: what was done where, what remains, and never who it was."""

from uptake import subjects
from uptake_metrics import erasure_store


async def test_a_receipt_says_what_was_done_and_not_to_whom(metrics, asking, fact):
    wish = fact("user.deleted", account="acme", user="ann@example.com")
    await metrics.learn(wish)
    name = subjects.fact("user.deleted", wish.source, wish.event.id).rpartition(".")[2]
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        status, receipt = await ask(f"/api/v1/erasures/{name}")
        assert (status, receipt["state"], receipt["account"], receipt["finished_at"]) == (200, "waiting", "acme", None)
        assert receipt["found"] is None
        async with metrics.engine.begin() as connection:
            (job,) = await erasure_store.jobs(connection)
            await erasure_store.count_rows(connection, job, {"person": 1}, found=True)
            await erasure_store.finish(connection, job)
        status, done = await ask(f"/api/v1/erasures/{name}")
        assert (done["state"], done["tables"], done["streams"]) == ("done", {"person": 1}, {})
        assert done["found"] is True
        assert done["finished_at"] >= done["asked_at"]
        assert len(done["remains"]) > 2
        assert await ask("/api/v1/erasures") == (200, [done])
        assert await ask("/api/v1/erasures", fact=wish.event.id) == (200, [done])
        assert await ask("/api/v1/erasures", fact="another") == (200, [])
        status, text = await ask("/api/v1/erasures", format="csv")
        assert text.splitlines()[0].startswith("id,account,state")
        for answer in (receipt, done, text):
            assert "ann@example.com" not in str(answer)


async def test_an_unknown_erasure_is_not_found(metrics, asking):
    async with asking(metrics) as ask:
        status, answer = await ask("/api/v1/erasures/none")
    assert (status, answer["error"]) == (404, "unknown_erasure")
