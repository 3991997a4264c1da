"""`roster.yml`: the people, their regions, the rotations between them, and who comes when nobody does. Decides nothing.

Pure: `roster_file` reads the file, `rota` says who is on call, `whom` who gets an alert.
"""

from collections.abc import Iterator, Mapping
from datetime import time
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from uptake.messages.fields import Day, Label, Slug, TimeZone
from uptake.section import Section, refused
from uptake_alerting.people import Clock, Holidays, Hours, Person, Region, WallTime, require_order

Place = tuple[str | int, ...]


class Layer(Section):
    """Turns of a day or a week in the order of `people`; the first begins on the day `start`, at `handover`.

    A weekly turn ends on the weekday of `start`. `only`: the hours on duty; without it all hours, holidays too.
    """

    people: Annotated[tuple[Label, ...], Field(min_length=1)]
    every: Literal["day", "week"] = "week"
    start: Day
    handover: Clock = time(9)
    only: Hours | None = None


class Override(Section):
    """Somebody else has the duty from one time on the clock of the rotation until another; of days, the last counts."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    person: Label
    start: WallTime = Field(alias="from")
    end: WallTime = Field(alias="to")

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        require_order(self.start, self.end)
        return self


class Rotation(Section):
    """A layer has the duty where those before it have nobody. What `only` asks for leaves out the `holidays`."""

    title: Label | None = None
    time_zone: TimeZone
    holidays: Slug | None = None
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    overrides: tuple[Override, ...] = ()


class Fallback(Section):
    """`follow_the_sun`: whom to ask, in order, when a region has nobody on call. `lead`: told when nobody is left."""

    follow_the_sun: tuple[Slug, ...] = ()
    lead: Label | None = None


class Roster(Section):
    """`roles`: who is meant by a role that no fact of an account names."""

    people: tuple[Person, ...] = ()
    holidays: dict[Slug, Holidays] = Field(default_factory=dict)
    regions: dict[Slug, Region] = Field(default_factory=dict)
    rotations: dict[Slug, Rotation] = Field(default_factory=dict)
    roles: dict[Literal["director", "ce_ops"], tuple[Label, ...]] = Field(default_factory=dict)
    fallback: Fallback = Fallback()

    @cached_property
    def by_name(self) -> Mapping[str, Person]:
        return {person.name: person for person in self.people}

    def zone_of(self, person: Person) -> str:
        return person.time_zone or (self.regions[person.region].time_zone if person.region else "UTC")

    def holidays_of(self, person: Person) -> Holidays:
        """Those of the person's region."""
        return self.calendar(self.regions[person.region].holidays if person.region else None)

    def calendar(self, name: str | None) -> Holidays:
        return self.holidays[name] if name else {}

    def region_of(self, stated: str | None) -> str | None:
        """The region that the facts of an account call `stated`: by its name here, or by another one."""
        if stated in self.regions:
            return stated
        return next((name for name, region in self.regions.items() if stated in region.accounts), None)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        self._require_one_of_each()
        for place, name in self._named_people():
            if name not in self.by_name:
                raise refused(f"nobody of the people here is called {name}", *place)
        known = {"holidays": set(self.holidays), "region": set(self.regions), "rotation": set(self.rotations)}
        for kind, place, name in self._named_parts():
            if name not in known[kind]:
                what = kind if kind == "holidays" else f"a {kind}"
                raise refused(f"names {what} that this file does not have: {name}", *place)
        return self

    def _require_one_of_each(self) -> None:
        seen = set[str]()
        for place, person in enumerate(self.people):
            if person.name in seen:
                raise refused(f"{person.name} stands twice", "people", place, "name")
            seen.add(person.name)
        called = dict[str, str]()
        for region, about in self.regions.items():
            for name in (region, *about.accounts):
                if called.setdefault(name, region) != region:
                    raise refused(f"{name} is a name of two regions", "regions", region, "accounts")

    def _named_people(self) -> Iterator[tuple[Place, str]]:
        """Every place that names somebody of the people."""
        for place, person in enumerate(self.people):
            if person.manager:
                yield ("people", place, "manager"), person.manager
        yield from self.on_duty()

    def on_duty(self) -> Iterator[tuple[Place, str]]:
        """Everybody who has to answer when the owner of an account does not, with the place that says so."""
        for name, rotation in self.rotations.items():
            for number, layer in enumerate(rotation.layers):
                for place, turn in enumerate(layer.people):
                    yield ("rotations", name, "layers", number, "people", place), turn
            for number, override in enumerate(rotation.overrides):
                yield ("rotations", name, "overrides", number, "person"), override.person
        for role, names in self.roles.items():
            for place, named in enumerate(names):
                yield ("roles", role, place), named
        if self.fallback.lead:
            yield ("fallback", "lead"), self.fallback.lead

    def _named_parts(self) -> Iterator[tuple[str, Place, str]]:
        for place, person in enumerate(self.people):
            if person.region:
                yield "region", ("people", place, "region"), person.region
        for name, region in self.regions.items():
            if region.holidays:
                yield "holidays", ("regions", name, "holidays"), region.holidays
            if region.rotation:
                yield "rotation", ("regions", name, "rotation"), region.rotation
        for name, rotation in self.rotations.items():
            if rotation.holidays:
                yield "holidays", ("rotations", name, "holidays"), rotation.holidays
        for place, name in enumerate(self.fallback.follow_the_sun):
            yield "rotation", ("fallback", "follow_the_sun", place), name
