"""Which ids of an account name one person, by the facts that link and unlink them. Pure: no I/O; counts nobody.

Source: the domain definition, "Activity": `user.linked` merges two ids, and history recomputes; unlinking restores it.
Whatever is stored of people stays by the id it came with: a link is applied where people are counted, and nowhere else.
"""

from collections.abc import Iterable, Mapping

from uptake.messages.events import UserLinked, UserUnlinked

Links = tuple[tuple[str, str], ...]  # (user, other), in the order in which they were last said


def in_force(statements: Iterable[UserLinked | UserUnlinked]) -> Links:
    """The pairs that are linked after these statements, given in the order in which they were true.

    A pair is the same pair whichever of the two is named first; the newest statement of it stands. An id that is linked
    with itself changes nothing.
    """
    held: dict[frozenset[str], tuple[str, str]] = {}
    for event in statements:
        pair = frozenset((event.user, event.other))
        held.pop(pair, None)
        if isinstance(event, UserLinked) and len(pair) == 2:
            held[pair] = event.user, event.other
    return tuple(held.values())


def canonical(links: Links) -> Mapping[str, str]:
    """For each id that goes by another one: the id that its person is known by.

    `user` of a link stands for `other` and for all that `other` stood for; where links contradict each other, or go in
    a circle, the newest one that changes anything decides.
    """
    above: dict[str, str] = {}
    for user, other in links:
        top, below = _top(above, user), _top(above, other)
        if top != below:
            above[below] = top
    return {name: _top(above, name) for name in list(above)}


def _top(above: dict[str, str], name: str) -> str:
    path = []
    while name in above:
        path.append(name)
        name = above[name]
    for passed in path:  # a chain of thousands is walked once
        above[passed] = name
    return name
