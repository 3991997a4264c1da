"""Routes of a rehearsal: everybody can be told, each in an inbox of their own, so that channels play no part. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from uptake_alerting.people import Person

CATCH_ALL, OPERATORS = "catch-all", "operators"


@dataclass(frozen=True, slots=True)
class Inbox:
    """Of the person of that name, whom alone it reaches."""

    name: str
    type: str = "inbox"

    def destination(self, person: Person | None = None) -> str | None:
        return person.name if person is not None else None


class _Shared(Inbox):
    """Whoever reads it."""

    def destination(self, person: Person | None = None) -> str | None:
        return self.name


class _Inboxes(dict[str, Inbox]):
    def __missing__(self, name: str) -> Inbox:
        return Inbox(name)


class Everybody:
    """Each person can be told, and nobody else."""

    channels: Mapping[str, Inbox] = _Inboxes()
    default: Sequence[str] = ()
    operators: Sequence[str] = ()

    def serving(self, person: str) -> Sequence[str]:
        return (person,)


class EverybodyAndCatchAll(Everybody):
    """What nobody in particular would hear comes to somebody all the same, as with the default channels."""

    channels: Mapping[str, Inbox] = _Inboxes({name: _Shared(name) for name in (CATCH_ALL, OPERATORS)})
    default: Sequence[str] = (CATCH_ALL,)
    operators: Sequence[str] = (OPERATORS,)
