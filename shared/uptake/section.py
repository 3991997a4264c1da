"""A part of a configuration file as a class. Pure, so that decisions can be made on it; reading files is `config`'s."""

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


class Section(BaseModel):
    """A part of a file: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def refused(reason: str, *where: str | int) -> ValidationError:
    """For a validator that looks at a whole file to raise: names the very place, so that the line can be told."""
    detail = InitErrorDetails(type=PydanticCustomError("refused", reason), loc=where, input=None)
    return ValidationError.from_exception_data("configuration", [detail])
