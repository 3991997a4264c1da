"""Of which accounts people are named, as facts say: everybody's by default. Pure: no I/O; names nobody."""

from collections.abc import Iterable

from uptake.messages.events import AccountUpdated
from uptake.messages.facts import Fact
from uptake_metrics.accounts import Account


class UserListsOff(LookupError):
    """Nobody of this account is to be named."""


class UserLists:
    """`off`: nobody is named. `again`: they were off, or may have been; whoever comes is named anew."""

    def __init__(self) -> None:
        self.off: set[str] = set()
        self.again: set[str] = set()

    def learn(self, account: Account, facts: Iterable[Fact]) -> None:
        """`facts`: all of the account."""
        name = account.account
        updates = [fact.event for fact in facts if isinstance(fact.event, AccountUpdated)]
        said = any("user_lists" in event.model_fields_set for event in updates)
        self.off.discard(name)
        self.again.discard(name)
        if said:
            (self.again if account.user_lists else self.off).add(name)
