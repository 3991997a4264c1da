"""Answers about adoption policies: what is in force, and whom another file would judge otherwise. Changes nothing."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel

from uptake.config import InvalidConfig, parse
from uptake.lists import Format, table
from uptake.messages.kpi import AdoptionKpi
from uptake.problems import Problem
from uptake_metrics.answers.asking import Asking, AsOf
from uptake_metrics.kpis import rounded
from uptake_metrics.ordering import in_turns
from uptake_metrics.policies import Ladder, Policies

MAX_FILE_BYTES = 256 * 1024
_AT_A_TIME = 1_000  # accounts to ask the archive for at once, where memory cannot tell


class StepAnswer(BaseModel):
    day: int
    target: float | None


class VersionAnswer(BaseModel):
    """One version of a policy; it judges the days from `since` up to the day before the next one."""

    since: date
    anchor: Literal["production", "contract"]
    steps: list[StepAnswer]


class AssignmentAnswer(BaseModel):
    """`segment` null: everybody who has no other policy. `policy` null: the segment has the default again."""

    since: date
    segment: str | None
    policy: str | None


class PoliciesAnswer(BaseModel):
    """`GET /api/v1/policies`. `problem`: why the newest content of the file is not what is in force."""

    policies: dict[str, list[VersionAnswer]]
    assignments: list[AssignmentAnswer]
    problem: str | None


class PolicyRow(BaseModel):
    """`GET /api/v1/policies?format=csv`: a step of a policy's version, or from when on somebody is judged by which."""

    kind: Literal["step", "assignment"]
    since: date
    policy: str | None
    segment: str | None = None
    anchor: str | None = None
    day: int | None = None
    target: float | None = None


class Judged(BaseModel):
    """How an account is judged on a day."""

    policy: str
    policy_version: date | None
    status: str
    n: int | None
    target: float | None
    value: float | None
    reason: str | None


class PolicyChange(BaseModel):
    account: str
    name: str | None
    owner: str | None
    as_of: date
    before: Judged
    after: Judged


class Move(BaseModel):
    """How many accounts would go from one status to another, or have another policy or target in the same one."""

    before: str
    after: str
    accounts: int


class PolicyPreview(BaseModel):
    """`POST /api/v1/policies/preview`. `later`: the days ahead on which the file changes something more."""

    accounts: int
    changed: int
    moves: list[Move]
    changes: list[PolicyChange]
    later: list[date]


def router(asking: Asking) -> APIRouter:
    """`/api/v1/policies...`."""
    router = APIRouter()

    @router.get("/api/v1/policies", response_model=PoliciesAnswer)
    async def policies(format: Format = "json") -> PoliciesAnswer | Response:
        """Every policy with its versions, and who is judged by which from when on."""
        config = asking.evaluation.config
        problems = [problem for problem in config.problems() if "policies.yml" in problem]
        answer = _answer(config.policies, next(iter(problems), None))
        return answer if format == "json" else table(_rows(answer), format, PolicyRow)

    @router.post("/api/v1/policies/preview", response_model=PolicyPreview)
    async def preview(
        file: Annotated[bytes, Body(media_type="application/yaml", description="a policies.yml")] = b"",
        as_of: AsOf = None,
        format: Format = "json",
    ) -> PolicyPreview | Response:
        """Which accounts another file would judge otherwise, as of each one's today or of any past day."""
        changes, looked_at = await _changes(asking, new := await asyncio.to_thread(_read, file), as_of)
        if format == "csv":
            return table(changes, format, PolicyChange)
        moves = Counter((change.before.status, change.after.status) for change in changes)
        newest = as_of or max(asking.board.todays(asking.board.lines).values(), default=date.min)
        answer = PolicyPreview(
            accounts=looked_at,
            changed=len(changes),
            moves=[Move(before=pair[0], after=pair[1], accounts=count) for pair, count in sorted(moves.items())],
            changes=[],
            later=_later(new, asking.evaluation.config.policies, newest),
        )
        return Response(await _written(answer, changes), media_type="application/json")

    return router


async def _written(answer: PolicyPreview, changes: list[PolicyChange]) -> str:
    """The answer with its changes, in turns: there may be one for every account."""
    lines = [change.model_dump_json() async for change in in_turns(changes)]
    return answer.model_dump_json().replace('"changes":[]', f'"changes":[{",".join(lines)}]', 1)


def _read(file: bytes) -> Policies:
    if len(file) > MAX_FILE_BYTES:
        raise Problem(413, "too_large", f"a file of policies has at most {MAX_FILE_BYTES} bytes")
    if not file.strip():
        raise Problem(400, "invalid_policies", "the file is empty; a policies.yml names a default and policies")
    try:
        return parse(file.decode(), Policies)
    except UnicodeDecodeError:
        raise Problem(400, "invalid_policies", "the file is not UTF-8") from None
    except InvalidConfig as error:
        raise Problem(400, "invalid_policies", str(error)) from None


async def _changes(asking: Asking, new: Policies, as_of: date | None) -> tuple[list[PolicyChange], int]:
    """Both judgements of an account are from one tally, so that only the policies differ; and how many there were."""
    lines = {line.account.account: line for line in await asking.lines(as_of)}
    names = sorted(lines)
    changes: list[PolicyChange] = []
    for start in range(0, len(names), _AT_A_TIME):
        part = names[start : start + _AT_A_TIME]
        tallies = await asking.tally.on({name: lines[name].kpis.as_of for name in part})
        async for name in in_turns(part):
            line = lines[name]
            before = _judged(asking.evaluation.adoption(name, tallies[name]))
            after = _judged(asking.evaluation.adoption(name, tallies[name], new))
            if before != after:
                told = {"account": name, "name": line.account.name, "owner": line.account.owner}
                changes.append(PolicyChange(**told, as_of=line.kpis.as_of, before=before, after=after))
    return changes, len(lines)


def _judged(adoption: AdoptionKpi) -> Judged:
    return Judged(**{name: getattr(adoption, name) for name in Judged.model_fields})


def _later(new: Policies, old: Policies, newest: date) -> list[date]:
    """The days after `newest` from which something holds in one of the two only."""
    return sorted({day for day, _ in new.dated() ^ old.dated() if day > newest})


def _answer(policies: Policies, problem: str | None) -> PoliciesAnswer:
    return PoliciesAnswer(
        policies={name: [_version(one) for one in versions] for name, versions in policies.policies.items()},
        assignments=[
            *(AssignmentAnswer(since=one.since, segment=None, policy=one.policy) for one in policies.default),
            *(AssignmentAnswer(since=one.since, segment=one.segment, policy=one.policy) for one in policies.segments),
        ],
        problem=problem,
    )


def _rows(answer: PoliciesAnswer) -> Iterator[PolicyRow]:
    for name, versions in answer.policies.items():
        for one in versions:
            about = {"kind": "step", "since": one.since, "policy": name, "anchor": one.anchor}
            yield from (PolicyRow.model_validate(about | step.model_dump()) for step in one.steps)
    yield from (PolicyRow.model_validate({"kind": "assignment"} | one.model_dump()) for one in answer.assignments)


def _version(ladder: Ladder) -> VersionAnswer:
    steps = [StepAnswer(day=step.day, target=rounded(step.target)) for step in ladder.steps]
    return VersionAnswer(since=ladder.since, anchor=ladder.anchor, steps=steps)
