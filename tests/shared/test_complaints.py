"""Whatever is usual is said without a library's words."""

from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from uptake.complaints import in_plain_words


class Question(BaseModel):
    model_config = ConfigDict(extra="forbid")

    day: date
    window: Literal["dau", "mau"] = "mau"
    limit: Annotated[int, Field(ge=1, le=9)] = 1
    month: Annotated[str, Field(pattern="^[0-9]{4}$")] = "2026"
    lists: bool = True
    sort: str = "name"

    @field_validator("sort")
    @classmethod
    def _is_known(cls, sort: str) -> str:
        if sort != "name":
            raise ValueError("must be one of name")
        return sort


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "is missing"),
        ({"day": "yesterday"}, "must be a day such as 2026-05-10"),
        ({"day": "2026-02-30"}, "must be a day such as 2026-05-10"),
        ({"day": "2026-05-10T12:00:00"}, "must be a day such as 2026-05-10"),
        ({"day": None}, "must be a day such as 2026-05-10"),
        ({"window": "year"}, "must be 'dau' or 'mau'"),
        ({"limit": "many"}, "must be a whole number"),
        ({"limit": 1.5}, "must be a whole number"),
        ({"limit": 0}, "must be at least 1"),
        ({"limit": 10}, "must be at most 9"),
        ({"month": "May"}, "must have the form ^[0-9]{4}$"),
        ({"lists": "perhaps"}, "must be true or false"),
        ({"sort": "size"}, "must be one of name"),
        ({"unheard_of": 1}, "is not known here"),
        ({"sort": 5}, "Input should be a valid string"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Question.model_validate(given if given == {} else {"day": "2026-05-10", **given})
    assert [in_plain_words(error) for error in refused.value.errors()] == [says]
