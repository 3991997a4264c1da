"""Who gets a notice, and why: a pure function that explains itself. It knows names and channels, never addresses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who could act, with the words for why: `owns the account`."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Recipient:
    channel: str
    why: str


def people_of_account(owner: str | None, deputy: str | None) -> list[Person]:
    named = ((owner, "owns the account"), (deputy, "stands in for the owner of the account"))
    return [Person(name, role) for name, role in named if name]


def people_of_trial(engineer: str | None, owner: str | None) -> list[Person]:
    named = ((engineer, "runs the trial"), (owner, "owns the account of the trial"))
    return [Person(name, role) for name, role in named if name]


def recipients(
    people: Sequence[Person], serves: Mapping[str, Sequence[str]], default: Sequence[str]
) -> tuple[Recipient, ...]:
    """All channels of the first person whom any channel serves, else the default channels; empty = undeliverable."""
    for person in people:
        found = [channel for channel, served in serves.items() if person.name in served]
        if found:
            return tuple(
                Recipient(channel, f"this channel serves {person.name}, who {person.role}") for channel in found
            )
    return tuple(Recipient(channel, f"this is a default channel, and {_nobody_served(people)}") for channel in default)


def fallback(default: Sequence[str], failed: str) -> tuple[Recipient, ...]:
    """Where a notice goes when a channel gave it up for good."""
    return tuple(
        Recipient(channel, f"this is a default channel, and {failed} failed")
        for channel in default
        if channel != failed
    )


def _nobody_served(people: Sequence[Person]) -> str:
    if not people:
        return "nobody owns the subject"
    return "no channel serves " + " or ".join(dict.fromkeys(person.name for person in people))
