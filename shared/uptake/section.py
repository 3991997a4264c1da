"""A part of a configuration file as a class. Pure, so that decisions can be made on it; reading files is `config`'s."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a file: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
