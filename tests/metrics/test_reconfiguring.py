"""A changed file of policies: each process looks again at the accounts of its shards, also after a stop."""

from datetime import date
from pathlib import Path

import pytest

from uptake.subjects import shard_of
from uptake_metrics import worklist
from uptake_metrics.config import Config
from uptake_metrics.reconfiguring import Reconfiguring

EVERY_SHARD = frozenset(range(16))
EASY = """\
default: easy
policies:
  easy: [{from: 2022-01-01, anchor: production, steps: [{day: 0, target: 10 %}]}]
"""


@pytest.fixture
def following(tmp_path: Path, metrics):
    """Makes one that follows the files of this test; as the next process would, with the same database."""
    metrics.config = Config(tmp_path)
    metrics.evaluation.config = metrics.config
    metrics.config.write_defaults()

    def make(shards=EVERY_SHARD):
        return Reconfiguring(metrics.engine, metrics.config, metrics.counting, metrics.register, lambda: shards)

    return make


@pytest.fixture
async def acme(metrics, event, fact):
    """Two of ten seats in May, 129 days after production: 20 %, which is under 50 %."""
    await metrics.learn(
        fact("account.updated", account="acme", production_date="2026-01-01"),
        fact("license.issued", account="acme", license="l", seats=10, starts_at="2026-01-01T00:00:00Z"),
    )
    days = [date(2026, 8, day).isoformat() for day in range(1, 25)]
    await metrics.count(*(event("acme", user, day) for user in ("ann", "bob") for day in days))


async def marked(metrics):
    return sorted(
        subject for (subject,) in await metrics.rows("SELECT subject FROM metrics.dirty WHERE import_id = ''")
    )


async def adoption(metrics, day):
    query = "SELECT revision, body -> 'kpis' -> 'adoption' ->> 'status', body -> 'kpis' -> 'adoption' ->> 'policy'"
    query += " FROM metrics.snapshot WHERE subject = 'account:acme' AND day = :day ORDER BY revision"
    return await metrics.rows(query, day=day)


async def test_a_changed_policy_gives_published_days_a_new_revision(metrics, acme, following, tmp_path):
    await metrics.publish()
    follow = following()
    await follow.follow()
    assert await marked(metrics) == []  # nothing changed yet
    (tmp_path / "policies.yml").write_text(EASY)
    await follow.follow()
    assert await marked(metrics) == ["account:acme"]
    await metrics.publish()
    day = date(2026, 8, 20)
    assert await adoption(metrics, day) == [(1, "off_target", "ce-2022"), (2, "on_target", "easy")]
    await follow.follow()
    assert await marked(metrics) == []


async def test_a_version_from_a_day_on_leaves_the_days_before_it_alone(metrics, acme, following, tmp_path):
    await metrics.publish()
    follow = following()
    text = (tmp_path / "policies.yml").read_text()
    text = text.replace(
        "\n  future-state:",
        "    - {from: 2026-08-10, anchor: production, steps: [{day: 0, target: 20 %}]}\n\n  future-state:",
    )
    (tmp_path / "policies.yml").write_text(text)
    assert metrics.config.problems() == []
    await follow.follow()
    await metrics.publish()
    revisions = await metrics.revisions("account:acme")
    assert {day: revision for day, revision in revisions.items() if revision == 2} == {
        date(2026, 8, day): 2 for day in range(10, 25)
    }
    assert await adoption(metrics, date(2026, 8, 9)) == [(1, "off_target", "ce-2022")]
    assert (await adoption(metrics, date(2026, 8, 10)))[-1] == (2, "on_target", "ce-2022")


async def test_a_file_that_changed_while_nothing_ran_is_noticed(metrics, acme, following, tmp_path):
    await metrics.publish()
    await following().follow()
    (tmp_path / "policies.yml").write_text(EASY)
    metrics.config.policies  # noqa: B018  # the next process has read it before it looks
    await following().follow()
    assert await marked(metrics) == ["account:acme"]


async def test_each_process_marks_the_shards_that_it_reads(metrics, acme, following, fact, tmp_path):
    await metrics.learn(*(fact("account.updated", account=f"a{number}", owner="ann") for number in range(8)))
    await metrics.publish()
    (tmp_path / "policies.yml").write_text(EASY)
    own, others = frozenset(range(8)), frozenset(range(8, 16))
    names = ["acme", *(f"a{number}" for number in range(8))]
    await following(own).follow()
    first = await marked(metrics)
    assert first == sorted(f"account:{name}" for name in names if shard_of(name) in own)
    await following(others).follow()
    assert await marked(metrics) == sorted(f"account:{name}" for name in names)
    assert 0 < len(first) < len(names)


async def test_the_board_shows_every_account_by_the_new_file(metrics, acme, following, tmp_path):
    await metrics.load()
    await metrics.board.refresh()
    follow = following()
    (tmp_path / "policies.yml").write_text(EASY)
    await follow.follow()
    await metrics.board.refresh()
    assert metrics.board.lines["acme"].kpis.adoption.policy == "easy"


async def test_a_bad_file_changes_nothing(metrics, acme, following, tmp_path):
    await metrics.publish()
    follow = following()
    (tmp_path / "policies.yml").write_text(EASY.replace("10 %", "0"))
    await follow.follow()
    assert await marked(metrics) == []
    assert len(metrics.config.problems()) == 1


def edited(name, *replaced):
    """Replaces a text of a file, which has to be there."""

    def edit(folder):
        text = (folder / name).read_text()
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new, 1)
        (folder / name).write_text(text)

    return edit


LATER = (
    "\n  future-state:",
    "    - {from: 2026-08-10, anchor: production, steps: [{day: 0, target: 1 %}]}\n\n  future-state:",
)
EDITS = {
    "a version from a day on": (edited("policies.yml", LATER), {"acme": date(2026, 8, 10), "plain": date(2026, 8, 10)}),
    "a policy that nobody has": (
        lambda folder: (folder / "policies.yml").write_text(
            (folder / "policies.yml")
            .read_text()
            .replace("\npolicies:\n", "\npolicies:\n  none: " + EASY[EASY.index("[") :], 1)
        ),
        {},
    ),
    "a use case that only some use": (
        edited("use_cases.yml", ("  one: {features: [edit]}", "  one: {features: [edit, export]}")),
        {"acme": date(2026, 8, 5)},
    ),
    "a title": (edited("use_cases.yml", ("  one: {features: [edit]}", "  one: {title: One, features: [edit]}")), {}),
    "one more use case": (
        edited("use_cases.yml", ("  one:", "  zz: {features: [zz]}\n  one:")),
        dict.fromkeys(["acme", "own", "plain"], worklist.EVER),
    ),
    "what counts from now on": (
        lambda folder: (folder / "activity.yml").write_text("versions: [{actors: [human, staff]}]"),
        {},
    ),
    "the policy of a segment": (
        edited("policies.yml", ("\nsegments: []", "\nsegments: [{from: 2026-08-12, segment: big, policy: digital}]")),
        {"acme": date(2026, 8, 15)},
    ),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_nothing_that_differs_is_left_out(metrics, following, event, fact, tmp_path, edit):
    """Each account is marked from the first day that the change reaches; from the beginning, nothing more is found."""
    (tmp_path / "use_cases.yml").write_text("use_cases:\n  one: {features: [edit]}\n  two: {features: [view]}\n")
    change, reached = EDITS[edit]
    await metrics.learn(
        *(fact("account.updated", account=name, production_date="2026-01-01") for name in ("acme", "own", "plain")),
        fact("account.updated", "2026-08-15T00:00:00Z", account="acme", segment="big"),
        fact("account.updated", account="own", policy="digital"),
    )
    days = [date(2026, 8, day).isoformat() for day in range(1, 25)]
    await metrics.count(*(event(name, "ann", day) for name in ("acme", "own", "plain") for day in days))
    await metrics.count(event("acme", "bob", "2026-08-05", "export"))
    await following().follow()
    await metrics.publish()
    before = await metrics.rows("SELECT count(*) FROM metrics.snapshot")
    change(tmp_path)
    assert metrics.config.problems() == []
    follow = following()
    await follow.follow()
    dirty = await metrics.rows("SELECT subject, first_day FROM metrics.dirty ORDER BY 1")
    assert dirty == [(f"account:{name}", day) for name, day in sorted(reached.items())]
    await metrics.publish()
    told = await metrics.rows("SELECT count(*) FROM metrics.snapshot")
    assert (told > before) == bool(reached)
    async with metrics.engine.begin() as connection:
        await worklist.mark(connection, dict.fromkeys(map(worklist.account, ("acme", "own", "plain")), worklist.EVER))
    await metrics.publish()
    assert await metrics.rows("SELECT count(*) FROM metrics.snapshot") == told


async def test_what_an_earlier_version_wrote_is_no_content_to_compare_with(metrics, acme, following, tmp_path):
    await following().follow()
    await metrics.publish()
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE metrics.evaluated_under SET content = ''")
    await following().follow()
    assert await marked(metrics) == []  # the same fingerprint
    assert "" not in {content for (content,) in await metrics.rows("SELECT content FROM metrics.evaluated_under")}
    async with metrics.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE metrics.evaluated_under SET content = '', fingerprint = 'other'")
    await following().follow()
    assert await metrics.rows("SELECT subject, first_day FROM metrics.dirty") == [("account:acme", worklist.EVER)]
